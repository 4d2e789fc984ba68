"""The hosts that this machine can be: numeric classes by settings and environment, and cheats by what they change.

A host is a name, the settings of its engine, environment variables that its process starts under, and what it does to
the model or to the job. Each runs in a process of its own, since most of these are read once, at the start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bench.native.tampering import drop_layer, round_weights
from node_agent.execution.native.model import NativeLlama
from node_agent.execution.native.settings import NativeSettings


class Tamper(Protocol):
    """Changes a model in place."""

    def __call__(self, model: NativeLlama) -> None: ...


@dataclass(frozen=True)
class Host:
    """See the module.

    Attributes:
        texts: how many it answers.
        ask: what it puts before each paragraph; the verifier knows the right one.
        salt: of the seed that it draws with.
    """

    settings: NativeSettings
    texts: int
    environment: Mapping[str, str] = field(default_factory=dict)
    tamper: Tamper | None = None
    ask: str = "Explain:"
    salt: str = ""


_FP32, _BF16 = NativeSettings("float32"), NativeSettings("bfloat16")

CALIBRATING = 64
"""The texts that thresholds come from: the first. All others are fresh: rates are measured on them alone."""

_TEXTS, _FEW = 128, 32

HONEST: dict[str, Host] = {
    "fp32": Host(_FP32, _TEXTS),
    "fp32-2threads": Host(NativeSettings("float32", threads=2), _TEXTS),
    "fp32-sdpa": Host(NativeSettings("float32", "sdpa"), _TEXTS),
    "fp32-avx2": Host(_FP32, _TEXTS, {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "fp32-noisa": Host(_FP32, _TEXTS, {"ATEN_CPU_CAPABILITY": "default"}),
    "bf16": Host(_BF16, _TEXTS),
    "bf16-sdpa": Host(NativeSettings("bfloat16", "sdpa"), _TEXTS),
    "fp16": Host(NativeSettings("float16"), _TEXTS),
}
"""By name; the first of each type is what the others are compared with."""

CHEATS: dict[str, Host] = {
    "int8-in-fp32": Host(_FP32, _FEW, tamper=partial(round_weights, bits=8)),
    "int8": Host(_BF16, _FEW, tamper=partial(round_weights, bits=8)),
    "int4-group32": Host(_BF16, _FEW, tamper=partial(round_weights, bits=4, group=32)),
    "int4": Host(_BF16, _FEW, tamper=partial(round_weights, bits=4)),
    "dropped-layer": Host(_BF16, _FEW, tamper=partial(drop_layer, index=15)),
    "altered-prompt": Host(_BF16, _FEW, ask="Say briefly:"),
    "ignored-seed": Host(_BF16, _FEW, salt="mine"),
}
"""What a node might do instead."""

VERIFIERS: dict[str, tuple[str, ...]] = {
    "fp32": (*HONEST, *CHEATS),
    "fp32-avx2": ("fp32", "fp32-avx2", "fp32-noisa", "bf16", *CHEATS),
    "bf16": ("fp32", "fp32-avx2", "bf16", "bf16-sdpa", *CHEATS),
    "fp32-2threads": ("fp32", "fp32-2threads"),
    "fp32-sdpa": ("fp32", "fp32-sdpa"),
    "fp32-noisa": ("fp32", "fp32-avx2", "fp32-noisa"),
    "bf16-sdpa": ("fp32", "bf16", "bf16-sdpa"),
    "fp16": ("fp32", "fp16"),
}
"""Who checks whom, its own class too: one pass over an answer has not the bits that generating it step by step had."""

CLAIMED = {"fp32": "bf16", "fp32-avx2": "fp32", "bf16": "fp32"}
"""The class that a cheat says it is of, by who checks it: far from the verifier's class, and near to it."""
