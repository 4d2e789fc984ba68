"""A BERT encoder: embeddings, layer norms, GELU, pooling and the unit vector (SPEC_ENCODER.md)."""

from contracts.court import numbers as n
from contracts.court.layout import Layout, Place
from contracts.model.court.operations import attention
from contracts.model.court.operations.base import Operation, Spot, element, sums
from contracts.model.court.operations.ends import tokens
from contracts.model.court.operations.linear import linear, partial_sums, shortened
from contracts.model.court.operations.normalise import Normaliser
from contracts.model.court.operations.residual import embedded, looked_up, updated
from contracts.model.court.reading import Reader


def operations(layout: Layout) -> list[Operation]:
    """All kinds of step of an encoder's text."""
    c = layout.text.config
    return [
        *tokens(layout),
        *_layer_norm(layout),
        *shortened("entry", lambda r, at: r.at("residual", (at.place[0],), at.place[1], at.other), c.width),
        *attention.operations(layout),
        element("gate.raw", lambda r, at: n.saturated(linear(r, "up", at.place, at.column), n.HEAD_MAX)),
        element("gate.out", _gelu),
        *shortened("gate", lambda r, at: r.at("gate.out", at.place, 0, at.other), c.inner),
        *partial_sums(layout),
        element("state", _logged),
        *_pooled(layout),
    ]


def _logged(r: Reader, at: Spot) -> int:
    """The states after the embedding and after each layer, position by position."""
    layer, position = divmod(at.row, r.text.positions)
    return r.at("residual", (2 * layer,), position, at.column)


def _raw(r: Reader, at: Spot) -> int:
    """What a layer norm takes: word and position, or the state before it with its update."""
    stage, position = at.place
    if stage == 0:
        return embedded(r, position, at.column) + r.at("position", (0,), position, at.column)
    return updated(r, stage, position, at.column)


def _layer_norm(layout: Layout) -> list[Operation]:
    """The mean is taken out without dividing: C x_i - sum x; then the norm, gain and bias give the next state."""
    c = layout.text.config

    def centred(r: Reader, place: Place, index: int) -> int:
        total = r.total("norm.sum", place, 0, c.width)
        return n.fits(c.width * r.at("norm.raw", place, 0, index) - total)

    norm = Normaliser("norm", c.width, c.epsilon, centred)

    def state(r: Reader, at: Spot) -> int:
        (stage,), name = at.place, _norm_name(at.place[0])
        place, sheet = (stage, at.row), ((stage - 1) // 2 if stage else 0,)
        gain, bias = (r.at(f"{name}.{part}", sheet, 0, at.column) for part in ("gain", "bias"))
        normed = n.fits(norm.unit_element(r, place, at.column, n.NORM_FRACTION) * gain)
        return n.saturated(n.halved(normed, n.NORMED_FRACTION - n.RESIDUAL_FRACTION) + bias, n.STATE_MAX)

    return [
        element("norm.raw", _raw),
        *sums("norm.sum", c.width, lambda r, at: r.block("norm.raw", at.place, 0, at.column)),
        *norm.operations(),
        element("residual", state),
    ]


def _norm_name(stage: int) -> str:
    if stage == 0:
        return "embedding_norm"
    return "attention_norm" if stage % 2 else "out_norm"


def _gelu(r: Reader, at: Spot) -> int:
    value = r.at("gate.raw", at.place, 0, at.column)
    return n.fits(value * looked_up(r, "normal", value, n.NORMAL_STEP_BITS))


def _pooled(layout: Layout) -> list[Operation]:
    """The sum of the last states over all positions, and its unit vector."""
    c, positions = layout.text.config, layout.text.positions

    def pooled(r: Reader, place: Place, index: int) -> int:
        return r.at("pool.vector", place, 0, index)

    norm = Normaliser("pool", c.width, 0, pooled)
    return [
        element("pool.column", lambda r, at: r.at("residual", (2 * c.layers,), at.column, at.row)),
        *sums("pool.sum", positions, lambda r, at: r.block("pool.column", at.place, at.row, at.column)),
        element("pool.vector", lambda r, at: r.total("pool.sum", at.place, at.column, positions)),
        *norm.operations(),
        element("vector", lambda r, at: norm.unit_element(r, (0,), at.column, n.VECTOR_FRACTION)),
    ]
