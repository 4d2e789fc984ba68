"""The workloads of local networks: chats and vectors by the exact engine."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from contracts.protocol.manifest import MAX_NEW_TOKENS, InputLimits
from deploy.localnet.network import Offered
from node_agent.execution import kinds
from node_agent.execution.kinds import DETERRENCE
from node_agent.execution.kinds import generation as generation_kind
from node_agent.models import ModelStore

GENERATION, EMBEDDING = "generation", "embedding"
MODELS = {GENERATION: "smollm2-135m-exact", EMBEDDING: "minilm-l6-v2-exact"}
LEAST_RATE, _PPM = 0.5, 1_000_000


def terms(check_rate: float) -> dict[str, int]:
    """Constants with at least this check rate, 0 to 0.769, at a stake of one price a job.

    At k = 1 production's terms would check three jobs of four. With p = (C - C') / (caught * (1 + k)) cheating pays
    less than working if work costs at most C of its reward.
    """
    caught = DETERRENCE["detection_ppm"] * (_PPM - DETERRENCE["collusion_ppm"]) // _PPM
    return DETERRENCE | {"honest_cost_ppm": min(_PPM, ceil(2 * caught * check_rate))}


TERMS = terms(LEAST_RATE)
MOST_NEW_TOKENS: int = generation_kind.TEMPLATE["params"][MAX_NEW_TOKENS]["maximum"]
USUAL_NEW_TOKENS: int = generation_kind.TEMPLATE["params"][MAX_NEW_TOKENS]["default"]
"""Tokens of one answer: at most 512, by default 128."""
MOST_TEXTS = 4
MOST_TOKENS = 640
"""Tokens of all answers of an order: one of 512, four of 160."""


def generation(store: ModelStore, device: str = "cpu", terms: Mapping[str, int] = TERMS) -> Offered:
    """SmolLM2-135M-Instruct, answers of up to 512 tokens to texts of up to 512."""
    limits = InputLimits(max_texts=MOST_TEXTS, max_bytes=2048, max_tokens=512)
    return _offered(
        store, device, GENERATION, fixed=2_000_000, unit=1_000_000, most=MOST_TOKENS, check=3_000_000,
        changes={"input": limits}, terms=terms,
    )  # fmt: skip


def embedding(store: ModelStore, device: str = "cpu", terms: Mapping[str, int] = TERMS) -> Offered:
    """all-MiniLM-L6-v2, vectors of up to 16 texts."""
    return _offered(
        store, device, EMBEDDING, fixed=5_000_000, unit=100_000, most=16 * 256, check=1_000_000, changes={},
        terms=terms,
    )  # fmt: skip


def _offered(
    store: ModelStore,
    device: str,
    kind: str,
    *,
    fixed: int,
    unit: int,
    most: int,
    check: int,
    changes: dict[str, Any],
    terms: Mapping[str, int],
) -> Offered:
    files = store.load(MODELS[kind])
    manifest = kinds.write_manifest(
        kind, MODELS[kind], device, check_price_units=check, deterrence=dict(terms), **changes
    )
    return Offered(manifest, files.tokenizer, fixed, unit, most)
