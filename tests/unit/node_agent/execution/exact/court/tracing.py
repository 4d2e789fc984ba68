"""The specification's tracer: the reference's values as the court's arrays, and what follows from them.

`reference.py` tells what each operation computed; here are the partial sums and witnesses that the court wants beside
it (contracts/COURT.md). Slow, as the reference is: for one case at a time.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from contracts.court import arrays
from contracts.court import numbers as n
from contracts.court.layout import Home, Layout, Place, Text
from contracts.model.court.operations.linear import Product, products_of
from contracts.model.court.shelves import ModelShelf, Rows
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.encoder.model_file import EncoderParameters
from node_agent.execution.exact.encoder.reference import EncoderReference
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.llama.reference import Reference
from node_agent.execution.exact.model_root import Model, court_config, sheet_of
from node_agent.execution.exact.reference import Vector, round_shift
from node_agent.execution.exact.sampling import ExactSampling
from tests.unit.node_agent.execution.exact.court.choice import Choice

Heard = dict[tuple[str, Place], Vector]
Bits = Callable[[int], int]


def model_shelf(model: Model) -> ModelShelf:
    """The model's root, and any of its numbers with its path. `model_root` is the root alone, fast."""

    @lru_cache(maxsize=8)
    def sheet(name: str, place: Place) -> Rows:
        rows: list[list[int]] = sheet_of(model, name, place).tolist()
        return rows

    return ModelShelf(court_config(model), sheet)


def trace_answer(
    model: Parameters, prompt: Sequence[int], answer: Sequence[int], sampling: ExactSampling
) -> "TracedText":
    """The trace of a decoder that reads a prompt and all of an answer but its last token."""
    heard: Heard = {}
    reference = Reference(model, lambda name, place, values: heard.update({(name, place): values}))
    for token in [*prompt, *answer[:-1]]:
        reference.logits(token)
    traced = TracedText(model, Text(court_config(model), len(prompt), len(answer)), heard, [*prompt], [*answer])
    traced.sampling = sampling
    return traced


def trace_states(model: EncoderParameters, tokens: Sequence[int]) -> "TracedText":
    """The trace of an encoder that reads a text."""
    heard: Heard = {}
    reference = EncoderReference(model, lambda name, place, values: heard.update({(name, place): values}))
    vector = reference.vector(reference.states([*tokens])[-1])
    return TracedText(model, Text(court_config(model), len(tokens), len(vector)), heard, [*tokens], vector)


class TracedText:
    """The values of one text, sheet by sheet.

    Args:
        model: what computed it.
        text: its sizes.
        heard: what the reference told, by name and place.
        prompt: what was asked.
        output: the tokens, or the vector, that were answered.
    """

    sampling = ExactSampling()

    def __init__(self, model: Model, text: Text, heard: Heard, prompt: Vector, output: Vector) -> None:
        self.layout: Layout = arrays.layout(text)
        self._model, self._text, self._heard = model, text, heard
        self._prompt, self._output = prompt, output
        self._known: dict[tuple[str, Place], Rows] = {}
        self._products = {f"{name}_sums": product for name, product in products_of(text.config).items()}

    def sheet(self, name: str, place: Place) -> Rows:
        """The rows of an array's sheet."""
        key = (name, place)
        if key not in self._known:
            self._known[key] = self._made(name, place)
        return self._known[key]

    def _made(self, name: str, place: Place) -> Rows:
        array = self.layout.arrays[name]
        if array.home is not Home.UNIT:
            return self._outside(name, place)
        if name.startswith("choice."):
            return self._choice(place[0]).rows(name)
        part = name.rpartition(".")[2]
        if part.isdigit():
            return self._sums(name, place)
        if part.endswith("_at"):
            return [self._witnesses(name.removesuffix("_at"), place)]
        if name == "pool.vector":
            return [self._divided("pool", place)]
        if name == "pool.column":
            return [*zip(*self._rows("residual", 2 * self._text.config.layers), strict=True)]
        return _cut(self._told(name, place), array.shape(place)[1])

    def _told(self, name: str, place: Place) -> Vector:
        if name.startswith("final."):
            place = (0, self._text.first_logits + place[1])
        return self._heard[name, place]

    def _outside(self, name: str, place: Place) -> Rows:
        """What order, commitment and trace hash bind, and what the trace root does."""
        if name in ("prompt", "output", "vector", "token"):
            output = [] if self._text.config.encoder else self._output
            return [{"prompt": self._prompt, "token": self._prompt + output}.get(name, self._output)]
        if name == "residual":
            return self._rows(name, place[0])
        if name == "state":
            stages = range(0, 2 * self._text.config.layers + 1, 2)
            return [row for stage in stages for row in self._rows("residual", stage)]
        if name == "logits":
            return [self._heard["logits", (self._text.first_logits + step,)] for step in range(self._text.output)]
        return self._cached(name, place)

    def _rows(self, name: str, stage: int) -> list[Vector]:
        return [self._heard[name, (stage, position)] for position in range(self._text.positions)]

    def _cached(self, name: str, place: Place) -> Rows:
        """Keys by position, values by dimension, exponents side by side."""
        layer, head = place
        told = [self._heard[f"heads.{name}", (layer, position)] for position in range(self._text.positions)]
        if name.endswith("exponent"):
            return [[one[head] for one in told]]
        width = self._text.config.head_dim
        rows = [one[head * width : (head + 1) * width] for one in told]
        return [*zip(*rows, strict=True)] if name == "value" else rows

    def _choice(self, step: int) -> Choice:
        return Choice(self.sheet("logits", (0,))[step], self._model.exp2, self.sampling, self._output[step])

    def _witnesses(self, name: str, place: Place) -> Vector:
        """The first index at which a largest value stands, for each of those side by side."""
        unit = name.partition(".")[0]
        if name == "mix.largest":
            return [_first(self.sheet("mix.score", place)[0], int)]
        if unit == "heads":
            return [_first(row, bits) for row, bits in self._heads(name, place)]
        if name.endswith(".exponent"):
            return [_first(self._divided(unit, place), lambda v: max(0, v.bit_length() - a.NORM_BITS))]
        short = {"gate": "gate.out", "joined": "joined.out"}.get(unit, f"{unit}.normed")
        vector = self._heard["residual", place] if unit == "entry" else self._told(short, place)
        return [_first(vector, lambda v: max(0, v.bit_length() - (n.ACTIVATION_BITS - 1)))]

    def _heads(self, name: str, place: Place) -> list[tuple[Vector, Bits]]:
        """The heads that are shortened under a name, and how many bits each value is too long."""
        c = self._text.config
        turned = [*self.sheet("heads.raw" if c.encoder else "heads.turned", place)]
        part = name.removeprefix("heads.").removesuffix("_exponent")
        if part == "value":
            found, bits = [*self.sheet("heads.raw", place)][c.heads + c.kv_heads :], a.VALUE_BITS
        elif part == "key":
            found, bits = turned[c.heads : c.heads + c.kv_heads], c.key_bits
        else:
            found, bits = turned[: c.heads], c.query_bits
        return [([*head], lambda v: max(0, v.bit_length() - (bits - 1))) for head in found]

    def _divided(self, unit: str, place: Place) -> Vector:
        """The vector whose length a unit divides by."""
        c = self._text.config
        if unit == "pool":
            return [sum(column) for column in self.sheet("pool.column", place)]
        if c.encoder:
            raw = self._told("norm.raw", place)
            return [c.width * value - sum(raw) for value in raw]
        if unit == "head_norm":
            return [*self.sheet("heads.raw", place[:2])[place[2]]]
        if unit == "final":
            return self._heard["residual", (2 * c.layers, self._text.first_logits + place[1])]
        return self._heard["residual", place]

    def _sums(self, name: str, place: Place) -> Rows:
        """One level of the partial sums of a unit."""
        base, _, level = name.rpartition(".")
        rows = self._terms(base, place)
        for _ in range(int(level) + 1):
            rows = [[sum(row[start : start + n.BLOCK]) for start in range(0, len(row), n.BLOCK)] for row in rows]
        return rows

    def _terms(self, name: str, place: Place) -> list[Vector]:
        unit, _, part = name.partition(".")
        if unit in self._products:
            return [self._product(self._products[unit], place)]
        if part == "squares":
            exponent = self.sheet(f"{unit}.exponent", place)[0][0]
            return [[round_shift(value, exponent) ** 2 for value in self._divided(unit, place)]]
        if unit == "mix":
            return self._mixed(part, place)
        return [[*row] for row in self.sheet("pool.column" if unit == "pool" else "norm.raw", place)]

    def _product(self, product: Product, place: Place) -> Vector:
        layer, position, output = place
        short = self.sheet(f"{product.unit}.short", product.source((layer, position)))[0]
        weights = self._matrix(product.matrix, layer).weight[output].tolist()
        return [weight * value for weight, value in zip(weights, short, strict=True)]

    def _matrix(self, name: str, layer: int) -> Matrix:
        matrix: Matrix = getattr(self._model, name) if name == "head" else getattr(self._model.layers[layer], name)
        return matrix

    def _mixed(self, part: str, place: Place) -> list[Vector]:
        c = self._text.config
        past = place[0], place[2] // (c.heads // c.kv_heads)
        powers, shares = ([*self.sheet(f"mix.{one}", place)[0]] for one in ("exp", "share"))
        if part == "total":
            return [[s * v for s, v in zip(shares, row, strict=False)] for row in self.sheet("value", past)]
        if part == "weight_sum":
            exponents = self.sheet("value_exponent", past)[0]
            return [[power << exponent for power, exponent in zip(powers, exponents, strict=False)]]
        return [powers if part == "exp_sum" else shares]


def _first(values: Sequence[int], bits: Bits) -> int:
    """The first index with the largest of `bits`; widths are those of absolute values."""
    asked = [bits(value) for value in values]
    return asked.index(max(asked))


def _cut(values: Vector, width: int) -> list[Vector]:
    return [values[start : start + width] for start in range(0, len(values), width)]
