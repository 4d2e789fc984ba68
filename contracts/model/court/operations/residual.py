"""What both families add up: embedding rows, updates of the residual stream, entries of a table."""

from contracts.court import numbers as n
from contracts.model.court.operations.linear import linear
from contracts.model.court.reading import Reader


def embedded(r: Reader, position: int, index: int) -> int:
    """The element of the token's embedding, with 20 fraction bits. Raises Beyond for a token outside the vocabulary:
    nobody who follows the specification answers an order that has one."""
    token = r.at("token", (0,), 0, position)
    multiplier, _, exponent = r.row("embedding.scale", (0,), token)
    return n.halved(r.at("embedding.weight", (0,), token, index) * multiplier, exponent - n.RESIDUAL_FRACTION)


def updated(r: Reader, stage: int, position: int, index: int) -> int:
    """The element of the residual before a stage, plus what the attention (odd stages) or the feed-forward adds."""
    layer, matrix = (stage - 1) // 2, "attention_out" if stage % 2 else "down"
    before = r.at("residual", (stage - 1,), position, index)
    return n.saturated(n.fits(before + linear(r, matrix, (layer, position), index)), n.RESIDUAL_MAX)


def looked_up(r: Reader, table: str, value: int, step_bits: int) -> int:
    """A table's entry nearest to a value of 16 fraction bits: entries 2^-step_bits apart, 0 in the middle."""
    index = n.halved(value, n.HEAD_FRACTION - step_bits)
    return r.at(table, (0,), 0, min(max(index, -n.TABLE_HALF), n.TABLE_HALF - 1) + n.TABLE_HALF)
