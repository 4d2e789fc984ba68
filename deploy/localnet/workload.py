"""What the local networks offer: chats and vectors by the exact engine."""

from contracts.protocol.manifest import InputLimits
from deploy.localnet.network import Offered
from node_agent.execution import kinds
from node_agent.execution.deterrence import DETERRENCE
from node_agent.models import ModelStore

GENERATION, EMBEDDING = "generation", "embedding"
MODELS = {GENERATION: "smollm2-135m-exact", EMBEDDING: "minilm-l6-v2-exact"}
MOST_TEXTS = 4
MOST_TOKENS = 640
"""Of all texts of an order: one answer of 512, four of 160. A token of SmolLM2's takes at most 88 bytes of an output,
so any answer can be shown in a contest, which takes 64 KiB."""


def generation(store: ModelStore, device: str = "cpu") -> Offered:
    """SmolLM2-135M-Instruct, answers of up to 512 tokens to texts of up to 512."""
    limits = InputLimits(max_texts=MOST_TEXTS, max_bytes=2048, max_tokens=512, overhead_tokens=30)
    return _offered(
        store, device, GENERATION, fixed=2_000_000, unit=1_000_000, most=MOST_TOKENS, check=3_000_000,
        changes={"input": limits},
    )  # fmt: skip


def embedding(store: ModelStore, device: str = "cpu") -> Offered:
    """all-MiniLM-L6-v2, vectors of up to 16 texts."""
    return _offered(store, device, EMBEDDING, fixed=5_000_000, unit=100_000, most=16 * 256, check=1_000_000, changes={})


TERMS = DETERRENCE | {"honest_cost_ppm": 650_000}
"""A wrong job costs one price here (k = 1): production's terms would check three jobs of four. These check one of two,
at which a cheat earns less than work where work costs at most 0.65 of its reward, as it is priced here."""


def _offered(
    store: ModelStore,
    device: str,
    kind: str,
    *,
    fixed: int,
    unit: int,
    most: int,
    check: int,
    changes: dict[str, object],
) -> Offered:
    files = store.load(MODELS[kind])
    manifest = kinds.write_manifest(kind, MODELS[kind], device, check_price_units=check, deterrence=TERMS, **changes)
    return Offered(manifest, files.tokenizer, fixed, unit, most)
