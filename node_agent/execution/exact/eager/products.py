"""Exact integer matrix products, in three ways.

All give the same integers. Which ones are sound, and which is fastest, differs by host (`ways.py` finds out):
- `int8`: `torch._int_mm` on two int8 halves stacked along the rows, so that weights are read once. On CPUs without VNNI
  oneDNN adds pairs of products in 16 bits and saturates, so results are silently wrong (pytorch #136746).
- `fp32`: float products of integers, exact in any order while sums of |a b| stay within 2^24, so long rows are cut.
  TF32 and other shortened products would break it; `determinism.full_precision` turns them off.
- `fp64`: the same within 2^53, without cuts or halves. Slow, and sound everywhere.

Attention's products are small integers by construction and run in fp32, or in fp64 where products are `fp64`.

Shapes: T rows, I inputs, O outputs; B matrices of a batch.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from node_agent.execution.exact import arithmetic as a

_LOW_BITS = 7
_LOW_MASK = (1 << _LOW_BITS) - 1
_SHORT = ((1 << 31) - 1) // ((a.ACTIVATION_MAX + 1) * a.WEIGHT_MAX)
"""The most inputs whose sums fit into 32 bits, high halves shifted back included."""


@dataclass(frozen=True)
class Weight:
    """A matrix as one way to multiply wants it.

    Attributes:
        pieces: (I, O) each, cut along I.
        outputs: O without padding.
    """

    pieces: tuple[Tensor, ...]
    outputs: int


class Products(ABC):
    """One way to multiply.

    Attributes:
        name: as in reports.
        attention_type: the float type whose products of attention's integers are exact here.
        graphs: whether CUDA graphs may capture it; the self-test finds out.
    """

    name: ClassVar[str]
    attention_type: ClassVar[torch.dtype] = torch.float32

    def __init__(self, graphs: bool = True) -> None:
        self.graphs = graphs

    @abstractmethod
    def prepare(self, weight: Tensor) -> Weight:
        """An (O, I) int8 matrix in the form that `linear` wants, on the same device."""

    @abstractmethod
    def linear(self, x: Tensor, weight: Weight) -> Tensor:
        """(T, I) int64 within +-ACTIVATION_MAX times a prepared matrix: (T, O) int64."""


class Int8Products(Products):
    """`torch._int_mm`."""

    name = "int8"

    def prepare(self, weight: Tensor) -> Weight:
        """See `Products`. Zeros are added: CUDA needs multiples of 8, and CPUs multiply a matrix of one input wrongly,
        because the strides of its view do not show its layout."""
        outputs, inputs = weight.shape
        multiple = 8 if weight.is_cuda else 2 if inputs == 1 else 1
        if outputs % multiple or inputs % multiple:
            padded = weight.new_zeros(_up(outputs, multiple), _up(inputs, multiple))
            padded[:outputs, :inputs] = weight
            weight = padded
        # A (I, O) view of contiguous rows: four times faster than contiguous columns for a single row on CPUs.
        return Weight((weight.contiguous().t(),), outputs)

    def linear(self, x: Tensor, weight: Weight) -> Tensor:
        """See `Products`."""
        matrix, outputs, rows = weight.pieces[0], weight.outputs, x.shape[0]
        halves = in_halves(x, torch.int8)
        # on CUDA more than 16 rows and whole multiples of 8, or cuBLASLt refuses
        taller = max(32, _up(2 * rows, 8)) if x.is_cuda else 2 * rows
        if halves.shape != (taller, matrix.shape[0]):
            padded = halves.new_zeros(taller, matrix.shape[0])
            padded[: 2 * rows, : x.shape[1]] = halves
            halves = padded
        product = torch._int_mm(halves, matrix)  # (2T, O) int32
        high, low = product[:rows, :outputs], product[rows : 2 * rows, :outputs]
        if x.shape[1] <= _SHORT:
            return high.bitwise_left_shift_(_LOW_BITS).add_(low).to(torch.int64)
        return high.to(torch.int64).bitwise_left_shift_(_LOW_BITS).add_(low)


class Fp32Products(Products):
    """fp32 on integers: |half * weight| <= 2^14, so 2^24 takes 1032 of them."""

    name = "fp32"
    longest: ClassVar[int] = (1 << a.PRODUCT_BITS) // ((1 << _LOW_BITS) * a.WEIGHT_MAX)

    def prepare(self, weight: Tensor) -> Weight:
        """See `Products`: the (I, O) matrix in pieces of equal length along I."""
        columns = weight.t().to(torch.float32).contiguous()
        pieces = -(-columns.shape[0] // self.longest)
        return Weight(columns.chunk(pieces), weight.shape[0])

    def linear(self, x: Tensor, weight: Weight) -> Tensor:
        """See `Products`."""
        halves = in_halves(x, torch.float32)
        parts = torch.split(
            halves, weight.pieces[0].shape[0], 1
        )  # as `chunk` cuts: equal pieces, the last may be shorter
        products = [
            (part @ piece).to(torch.int64) for part, piece in zip(parts, weight.pieces, strict=True)
        ]  # (2T, O) each
        total = products[0]
        for product in products[1:]:
            total += product
        high, low = total.chunk(2)
        return high.bitwise_left_shift_(_LOW_BITS).add_(low)


class Fp64Products(Products):
    """fp64 on integers: 2^53 takes more than 2^16 of them, so nothing is cut."""

    name = "fp64"
    attention_type = torch.float64

    def prepare(self, weight: Tensor) -> Weight:
        """See `Products`."""
        return Weight((weight.t().to(torch.float64).contiguous(),), weight.shape[0])

    def linear(self, x: Tensor, weight: Weight) -> Tensor:
        """See `Products`."""
        product: Tensor = x.to(torch.float64) @ weight.pieces[0]  # (T, O)
        return product.to(torch.int64)


ALL: tuple[Products, ...] = (Int8Products(), Fp32Products(), Fp64Products())
"""Fastest first on hosts where all are sound."""


def by_name(name: str, graphs: bool = True) -> Products:
    """One of ALL by its name. Raises KeyError."""
    return {each.name: type(each) for each in ALL}[name](graphs)


def in_halves(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(T, I) int64 within 15 bits to (2T, I): high halves in -128..127, then low halves in 0..127."""
    rows, short = x.shape[0], x.to(torch.int16)
    halves = torch.empty(2 * rows, x.shape[1], dtype=dtype, device=x.device)
    halves[:rows] = short >> _LOW_BITS
    halves[rows:] = short & _LOW_MASK
    return halves


def _up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
