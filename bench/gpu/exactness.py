"""One hash: what a device answers to many prompts, segment by segment, so that another device can repeat any part.

A segment's hash is of its texts' tokens and of every logit that they were chosen from, so of another number anywhere
comes another hash. How a device batches changes nothing: each does it its own way.
"""

import hashlib
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import cycle, islice
from typing import Any

import torch

from bench.exact.condition import fingerprint, generated
from bench.gpu import models
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.golden import GOLDEN_LOGITS
from node_agent.execution.exact.llama.engine import ExactGeneration

SEGMENT, SEGMENTS, NEW = 64, 16, 64
"""1,024 prompts, with 64 tokens answered to each."""

COMPANY = {"cpu": ("8",), "cuda": ("64", "ragged", "32", "1", "8")}
"""How many texts are answered at once, segment after segment in turn: see `bench.exact.condition.Condition`."""


def hashes(model: EagerLlama, segments: int, size: int = SEGMENT, new: int = NEW) -> Iterator[dict[str, Any]]:
    """What this device makes of the first segments, one after the other."""
    prompts = models.prompts(segments * size, model.config)
    for index, company in enumerate(islice(cycle(COMPANY[model.device.type]), segments)):
        runs = generated(model, prompts[index * size : (index + 1) * size], new, company)
        whole = hashlib.sha256("".join(map(fingerprint, runs)).encode()).hexdigest()
        sys.stderr.write(f"segment {index + 1} of {segments}, batch {company}: {whole[:16]}\n")
        yield {"prompts": len(runs), "new_tokens": new, "batch": company, "sha256": whole}


def report(model: EagerLlama, segments: int) -> dict[str, Any]:
    """The hashes, with what they are of: those of two reports that agree in `of` are equal, or a device is wrong."""
    return {
        "of": {
            "engine_version": ExactGeneration.version,
            "golden_logits": GOLDEN_LOGITS,
            "model": asdict(model.config) | {"qkv_exponent": models.QKV_EXPONENT},
        },
        "device": name(model.device),
        "torch": torch.__version__,
        "products": model.products.name,
        "graphs": model.static_decoding,
        "segments": list(hashes(model, segments)),
    }


def name(device: torch.device) -> str:
    """The hardware, in words."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def compared(gpu: dict[str, Any], cpu: dict[str, Any]) -> tuple[int, int]:
    """How many prompts both reports answer, and in how many of their segments the hashes differ.

    Raises:
        SystemExit: the reports are not of the same arithmetic, or have no segment in common.
    """
    if gpu["of"] != cpu["of"]:
        raise SystemExit(f"hashes of another arithmetic: {cpu['of']} instead of {gpu['of']}")
    pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]] = list(zip(gpu["segments"], cpu["segments"], strict=False))
    if not pairs or any(mine["new_tokens"] != theirs["new_tokens"] for mine, theirs in pairs):
        raise SystemExit("no segment was answered by both devices")
    return sum(mine["prompts"] for mine, _ in pairs), sum(mine["sha256"] != theirs["sha256"] for mine, theirs in pairs)
