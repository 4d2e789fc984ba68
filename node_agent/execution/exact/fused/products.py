"""Sizes of the kernels' tiles, and Triton's product as one more way to multiply for what is not fused."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from node_agent.execution.exact.eager.products import Products, Weight, in_halves
from node_agent.execution.exact.fused import kernels

BLOCK = 64
"""Inputs that a program multiplies at once: SmolLM2's widths are whole multiples, so nothing is multiplied in vain."""

OUTPUTS = 32
"""Outputs of a program: few, so that one row of a small matrix keeps many multiprocessors busy."""

LEAST_ROWS, MOST_ROWS = 8, 64
"""Rows of a program. Both halves of 8 rows are the 16 that tensor cores multiply at least."""


@dataclass(frozen=True)
class Tiles:
    """How programs cut (T, I) rows times an (O, I) matrix."""

    rows: int

    @property
    def size(self) -> int:
        """Rows of a program."""
        return min(max(LEAST_ROWS, power_of_two(self.rows)), MOST_ROWS)

    def grid(self, outputs: int, together: int) -> tuple[int, int]:
        """Programs for so many outputs, of which one has `together`."""
        return -(-outputs // together), -(-self.rows // self.size)


class TritonProducts(Products):
    """See `Products`: the kernels' own product, on a matrix as it lies in the model file."""

    name = "triton"
    attention_type: ClassVar[torch.dtype] = torch.float32

    def prepare(self, weight: Tensor) -> Weight:
        """See `Products`: one (O, I) piece."""
        return Weight((weight.contiguous(),), weight.shape[0])

    def linear(self, x: Tensor, weight: Weight) -> Tensor:
        """See `Products`."""
        (matrix,), rows, inputs = weight.pieces, x.shape[0], x.shape[1]
        sums = torch.empty(rows, weight.outputs, dtype=torch.int64, device=x.device)
        tiles = Tiles(rows)
        with on(x.device):
            kernels.products[tiles.grid(weight.outputs, OUTPUTS)](
                in_halves(x, torch.int8), matrix, sums, rows, inputs, weight.outputs, tiles.size, OUTPUTS, BLOCK
            )
        return sums


def square_roots(squares: list[int], device: torch.device) -> list[int]:
    """Integer square roots as the kernels take them, for the self-test."""
    given = torch.tensor(squares, device=device)
    roots = torch.empty_like(given)
    with on(device):
        kernels.square_roots[(-(-len(squares) // 256),)](given, roots, len(squares), 256)
    found: list[int] = roots.tolist()
    return found


def on(device: torch.device) -> AbstractContextManager[object]:
    """Triton starts kernels on the current device: while entered, this one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def power_of_two(number: int, least: int = 1) -> int:
    """The smallest power of two that is at least both; `least` is one."""
    return max(least, 1 << (number - 1).bit_length())
