"""How a native engine computes: the choices of its operator, each of which changes the last bits."""

from dataclasses import dataclass
from typing import Literal

import torch

Dtype = Literal["float32", "bfloat16", "float16"]
Attention = Literal["eager", "sdpa"]

DTYPES: dict[Dtype, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True)
class NativeSettings:
    """The choices of a host. They do not name its numeric class; its calibration does (`calibration.py`).

    Attributes:
        dtype: of weights, activations and cache.
        attention: written out, or torch's fused kernel.
        threads: of a CPU.
    """

    dtype: Dtype = "float32"
    attention: Attention = "eager"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES or self.attention not in ("eager", "sdpa") or self.threads < 1:
            raise ValueError(f"no way to compute: {self}")
