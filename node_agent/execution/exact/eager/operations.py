"""The torch operations that the exact engine may run, and a watch that refuses all others.

Allowed operations have results that are defined to the bit: integer arithmetic, comparisons, copies and look-ups on any
type, lossless conversions, and two kinds of float operations: products of bounded integers, whose sums are exact in any
order, and the square root that seeds an integer square root. Fused multiply-adds, float reductions, division, exp,
softmax and the like are not allowed.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# fmt: off
INTEGER = frozenset({
    "__and__", "__lshift__", "__or__", "__rshift__", "abs", "add", "add_", "amax", "arange", "bitwise_left_shift_",
    "bitwise_right_shift_", "bucketize", "clamp_", "div", "gt", "le", "mul", "mul_", "rsub", "sub", "sum",
})
"""On integer and boolean tensors only; `div` with rounding_mode floor only."""

MOVES = frozenset({
    "alias", "cat", "chunk", "copy_", "detach", "detach_", "empty", "index_copy_", "index_select", "lift_fresh",
    "masked_fill_", "new_zeros", "ones", "permute", "reshape", "resolve_conj", "resolve_neg", "select", "slice",
    "split", "t", "to", "transpose", "unbind", "unsqueeze", "view", "view_as", "zeros",
})
"""Copies and look-ups, on any type. The bounds in SPEC.md make conversions lossless. What `empty` returns is written in
full before it is read, which a test checks by filling it with other bytes. `index_copy_` writes to distinct places."""

PRODUCTS = frozenset({"_int_mm", "bmm", "matmul"})
"""Products of bounded integers; float ones in fp32 and fp64 only."""
# fmt: on

SEEDS = frozenset(["sqrt_"])
"""Float operations whose error is corrected in integers afterwards."""

_PRODUCT_TYPES = (torch.float32, torch.float64, torch.int8)


class BannedOperation(Exception):
    """Thrown when the exact engine runs an operation that is not known to give the same bits everywhere."""


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While entered, refuses what is not allowed above.

    Attributes:
        seen: the names of all operations that ran.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Check one operation before and after it runs. Raises BannedOperation."""
        name = func.overloadpacket.__name__
        self.seen.add(name)
        kwargs = kwargs or {}
        if name in MOVES:
            return func(*args, **kwargs)
        result: Any = func(*args, **kwargs)
        found = {each.dtype for each in (*_tensors(args), *_tensors([result]))}
        if not _allowed(name, found, kwargs):
            raise BannedOperation(f"{func} on {sorted(map(str, found))} may give other bits on another host")
        return result


def _allowed(name: str, types: set[torch.dtype], kwargs: dict[str, Any]) -> bool:
    if name in PRODUCTS:
        return types <= {*_PRODUCT_TYPES, torch.int32}
    if name in SEEDS:
        return types == {torch.float64}
    if name not in INTEGER or any(each.is_floating_point or each.is_complex for each in types):
        return False
    return kwargs.get("alpha", 1) == 1 and (name != "div" or kwargs.get("rounding_mode") == "floor")


def _tensors(values: Sequence[Any]) -> list[torch.Tensor]:
    """The tensors among values, one level of lists deep."""
    flat = [each for value in values for each in (value if isinstance(value, (list, tuple)) else [value])]
    return [each for each in flat if isinstance(each, torch.Tensor)]


def watched(work: Callable[[], Any]) -> set[str]:
    """Run something under a watch; returns the names of the operations that ran. Raises BannedOperation."""
    watch = Watch()
    with watch:
        work()
    return watch.seen
