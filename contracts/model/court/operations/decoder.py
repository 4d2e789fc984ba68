"""A Llama: the residual stream, its norms, the gate, and logits (SPEC.md, "One position")."""

from collections.abc import Callable

from contracts.court import numbers as n
from contracts.court.layout import Layout, Place
from contracts.model.court.operations import attention, choice
from contracts.model.court.operations.base import Operation, Spot, element
from contracts.model.court.operations.ends import tokens
from contracts.model.court.operations.linear import linear, partial_sums, shortened
from contracts.model.court.operations.normalise import Normaliser
from contracts.model.court.operations.residual import embedded, looked_up, updated
from contracts.model.court.reading import Reader

Stage = Callable[[Place], tuple[int, int]]
Gain = Callable[[Reader, Place, int], int]


def operations(layout: Layout) -> list[Operation]:
    """All kinds of step of a decoder's text."""
    c = layout.text.config
    return [
        *tokens(layout),
        element("residual", _residual),
        *_normed("norm", layout, lambda place: (place[0], place[1]), _gain),
        *attention.operations(layout),
        element("gate.raw", _gate_up),
        element("gate.out", gated),
        *shortened("gate", lambda r, at: r.at("gate.out", at.place, 0, at.other), c.inner),
        *_normed("final", layout, lambda place: (2 * c.layers, layout.text.first_logits + place[1]), _final_gain),
        element("logits", _logit),
        *partial_sums(layout),
        *choice.operations(layout),
    ]


def gated(r: Reader, at: Spot) -> int:
    """silu(gate) * up, with 40 fraction bits."""
    gate, up = (r.at("gate.raw", at.place, row, at.column) for row in (0, 1))
    silu = n.halved(n.fits(gate * looked_up(r, "sigmoid", gate, n.SIGMOID_STEP_BITS)), 16)
    return n.fits(silu * up)


def _residual(r: Reader, at: Spot) -> int:
    if at.place[0] == 0:
        return embedded(r, at.row, at.column)
    return updated(r, at.place[0], at.row, at.column)


def _normed(unit: str, layout: Layout, stage: Stage, gain: Gain) -> list[Operation]:
    """A norm: what it divides is the residual of a stage and position, which `stage` gives for the unit's place."""
    c = layout.text.config

    def value(r: Reader, place: Place, index: int) -> int:
        at, position = stage(place)
        return r.at("residual", (at,), position, index)

    norm = Normaliser(unit, c.width, c.epsilon, value)

    def normed(r: Reader, at: Spot) -> int:
        return n.fits(norm.unit_element(r, at.place, at.column, n.NORM_FRACTION) * gain(r, at.place, at.column))

    return [
        *norm.operations(),
        element(f"{unit}.normed", normed),
        *shortened(unit, lambda r, at: r.at(f"{unit}.normed", at.place, 0, at.other), c.width),
    ]


def _gain(r: Reader, place: Place, index: int) -> int:
    return r.at("mlp_norm.gain" if place[0] % 2 else "attention_norm.gain", (place[0] // 2,), 0, index)


def _final_gain(r: Reader, place: Place, index: int) -> int:
    return r.at("final_norm.gain", (0,), 0, index)


def _gate_up(r: Reader, at: Spot) -> int:
    return n.saturated(linear(r, "gate_up", at.place, at.row * r.config.inner + at.column), n.HEAD_MAX)


def _logit(r: Reader, at: Spot) -> int:
    return n.saturated(linear(r, "head", (0, at.row), at.column), n.LOGIT_MAX)
