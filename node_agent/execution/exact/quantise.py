"""From weights in fp32 to the integers of a model file.

Quantising divides, multiplies and rounds in IEEE double precision, one operation at a time, so that every host makes
the same bytes. Weights are int8, with one multiplier an output channel.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from fractions import Fraction
from math import isqrt

import numpy as np

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import Integers, Matrix
from node_agent.execution.model_files import Fp32


class TensorMaker(ABC):
    """Makes the tensors of a model file by name, a matrix at a time.

    Args:
        tensor: from Hugging Face names to fp32 tensors.
        tables: by the last part of their names.
    """

    def __init__(self, tensor: Callable[[str], Fp32], tables: Mapping[str, Integers]) -> None:
        self.tensor, self._tables = tensor, tables
        self._last: tuple[str, Matrix] | None = None

    @abstractmethod
    def matrix(self, name: str) -> Matrix:
        """A matrix by its name in the file."""

    @abstractmethod
    def vector(self, name: str) -> Integers:
        """Any other tensor: a part of a norm, or the positions."""

    def __call__(self, name: str) -> Integers:
        owner, _, field = name.rpartition(".")
        if owner == "table":
            return self._tables[field]
        if "norm" in name or name == "position":
            return self.vector(name)
        if self._last is None or self._last[0] != owner:  # the tensors of a matrix are asked for one after the other
            self._last = owner, self.matrix(owner)
        value = getattr(self._last[1], field)
        return np.array([value], np.int32) if field == "exponent" else np.asarray(value)


def query_factor(rows: int, queries: int, factor: float) -> Integers:
    """(rows,) factors for the rows of `qkv`: `factor` for queries, by which scores are exponents of two; else 1."""
    factors = np.ones(rows)
    factors[:queries] = factor
    return factors


def quantise(weight: Fp32, factor: Integers | None = None) -> Matrix:
    """An (O, I) matrix in fp32, rows times a factor, as int8 with one multiplier a row.

    Raises:
        UnsupportedModel: a weight is not finite or larger than 127 * 2^(24 - MIN_EXPONENT).
    """
    rows = weight.astype(np.float64)  # (O, I)
    scale = np.abs(rows).max(1) / a.WEIGHT_MAX  # (O,)
    wanted = scale if factor is None else scale * factor
    largest = float(wanted.max())
    if not largest < 2.0 ** (a.MULTIPLIER_BITS - a.MIN_EXPONENT) * (1 - 2.0**-a.MULTIPLIER_BITS):
        raise UnsupportedModel(
            f"A weight's scale is {largest}: not finite, or too large for the multipliers' range.",
            way_out="Use a model with finite weights of ordinary size.",
            scale=largest,
        )
    exponent = a.MAX_EXPONENT
    while np.rint(largest * 2.0**exponent) >= 2**a.MULTIPLIER_BITS:
        exponent -= 1
    multiplier = np.rint(wanted * 2.0**exponent)
    safe = np.where(scale > 0, scale, 1.0)
    quantised = np.clip(np.rint(rows / safe[:, None]), -a.WEIGHT_MAX, a.WEIGHT_MAX)
    return Matrix(quantised.astype(np.int8), multiplier.astype(np.int32), exponent)


def gain(weight: Integers) -> Integers:
    """(C,) weights of a norm times sqrt(C), with GAIN_FRACTION fraction bits. Raises as `fixed_point`."""
    root = float(Fraction(isqrt(weight.shape[0] << 64), 2**32))
    return fixed_point(weight.astype(np.float64) * root, a.GAIN_FRACTION, a.GAIN_MAX)


def fixed_point(values: Integers, fraction: int, most: int) -> Integers:
    """float64 as int32 with `fraction` fraction bits. Raises UnsupportedModel for NaN and for numbers beyond +-most."""
    rounded = np.rint(values * 2.0**fraction)
    if not (np.abs(rounded) <= most).all():
        raise UnsupportedModel(
            f"A norm, a bias or an embedding holds numbers beyond +-{(most + 1) // 2**fraction}, infinity or NaN.",
            way_out="Use a model with finite weights of ordinary size.",
            numbers=int((~(np.abs(rounded) <= most)).sum()),
        )
    return rounded.astype(np.int32)
