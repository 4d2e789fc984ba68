"""Cases for the court's tests: small computations, honest or with one wrong bit, and who accuses."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from contracts.court.layout import Array, Home, Layout, Place
from contracts.model.court.checker import CourtCheck, CourtRuling, Step, judge
from contracts.model.court.operations.base import Spot
from contracts.model.court.reading import Claims, ReadTerms
from contracts.model.court.shelves import JobShelf, ModelShelf, Shelf
from contracts.model.court.trees import Key
from node_agent.execution.exact.encoder.model_file import EncoderParameters
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.llama.reference import Reference
from node_agent.execution.exact.sampling import ExactSampling, choose
from tests.unit.node_agent.execution.exact.court.tracing import TracedText, model_shelf, trace_answer, trace_states

THEIRS = (Home.TRACE, Home.UNIT, Home.LOGGED, Home.OUTPUT)
"""The homes of what a node shows or commits to."""


@dataclass(frozen=True)
class Case:
    """One text of a job before the court."""

    model: ModelShelf
    shelves: tuple[Shelf, ...]
    terms: ReadTerms
    text: int = 0

    @property
    def job(self) -> JobShelf:
        """All that the node shows."""
        return JobShelf(self.model, self.shelves, self.terms)

    @property
    def shelf(self) -> Shelf:
        """The text's values."""
        return self.shelves[self.text]

    @property
    def layout(self) -> Layout:
        """The text's arrays."""
        return self.shelf.layout

    @property
    def claims(self) -> Claims:
        """What the court knows."""
        return self.job.claims(self.text)

    def court(self) -> CourtCheck:
        """A court before which everything is opened on demand."""
        job = self.job
        return CourtCheck(job.claims(self.text), job.source(self.text))

    def planted(self, key: Key, data: bytes) -> "Case":
        """The same case, but for one block's bytes."""
        shelves = [*self.shelves]
        shelves[self.text] = self.shelf.planted(key, data)
        return replace(self, shelves=tuple(shelves))

    def proof(self, step: Step) -> CourtRuling:
        """The ruling on a step from nothing but the openings that it reads."""
        job = self.job
        source = job.source(self.text)
        CourtCheck(job.claims(self.text), source).ruling(step)
        return judge(job.claims(self.text), step, source.read)


def generated(
    model: Parameters, prompt: Sequence[int], limit: int, sampling: ExactSampling, text: int = 0
) -> list[int]:
    """What the reference answers, with no stops."""
    reference, answer = Reference(model), list[int]()
    logits = [reference.logits(token) for token in prompt][-1]
    while True:
        answer.append(choose(np.array(logits, np.int32), model.exp2.astype(np.int64), sampling, text, len(answer)))
        if len(answer) == limit:
            return answer
        logits = reference.logits(answer[-1])


def decoder_case(
    model: Parameters,
    prompts: Sequence[Sequence[int]],
    limit: int = 3,
    sampling: ExactSampling | None = None,
    text: int = 0,
) -> Case:
    """Answers to prompts, honestly traced."""
    sampling = sampling or ExactSampling()
    answers = [generated(model, prompt, limit, sampling, index) for index, prompt in enumerate(prompts)]
    traced = [trace_answer(model, *pair, sampling) for pair in zip(prompts, answers, strict=True)]
    terms = ReadTerms(sampling.temperature_milli, sampling.top_p_ppm, sampling.seed, limit)
    return Case(model_shelf(model), _shelves(traced), terms, text)


def encoder_case(model: EncoderParameters, texts: Sequence[Sequence[int]], text: int = 0) -> Case:
    """Vectors of texts, honestly traced."""
    return Case(model_shelf(model), _shelves([trace_states(model, tokens) for tokens in texts]), ReadTerms(), text)


def _shelves(traced: Sequence[TracedText]) -> tuple[Shelf, ...]:
    return tuple(Shelf(one.layout, one.sheet) for one in traced)


def shown(layout: Layout) -> list[Array]:
    """The arrays that a node shows."""
    return [array for array in layout.all if array.home in THEIRS]


def corners(array: Array) -> Iterator[tuple[Place, int, int]]:
    """Places, rows and columns of an array, each coordinate the first or the last."""
    for place in product(*(sorted({0, size - 1}) for size in array.axes)):
        rows, width = array.shape(place)
        for row, column in product(sorted({0, rows - 1}), sorted({0, width - 1})):
            yield place, row, column


def flipped(case: Case, array: Array, place: Place, row: int, column: int, bit: int = 0) -> Case:
    """The case with one bit of one value's encoding turned; bit 0 is the value's lowest."""
    index, at = divmod(column, array.block)
    data = bytearray(case.shelf.data(array, place, row)[index])
    byte = bit // 8 if array.kind.little else array.kind.width - 1 - bit // 8
    data[at * array.kind.width + byte] ^= 1 << bit % 8
    return case.planted(Key(array.name, place, row, index), bytes(data))


def accusations(court: CourtCheck, layout: Layout, name: str, place: Place, row: int, column: int) -> Iterator[Step]:
    """The steps about one element, as somebody accuses who sees that it is the first to differ from its own."""
    spot, about = Spot(place, row, column), name.removesuffix("_at")
    if name in ("heads.key_exponent_at", "heads.value_exponent_at"):
        about, spot = about.removeprefix("heads."), Spot((place[0], column), 0, place[1])
    names = [about, *(known for known in court.operations if known.startswith(f"{about}:"))]
    for known in names:
        operation = court.operations.get(known)
        if operation is not None:
            yield from (Step(known, replace(spot, other=o)) for o in range(operation.others(layout, spot)))
    if name == "output":
        yield Step("token", Spot((0,), 0, layout.text.prompt + column))
    compared = {"choice.cut": ("choice.before_cut.0", place), "output": ("choice.before_token.0", (column,))}
    if name in compared:  # the sums of what comes before a token are about that token
        kind, at = compared[name]
        yield from (Step(kind, one) for one in court.operations[kind].spots(layout) if one.place == at)


def convicting(case: Case, name: str, place: Place, row: int, column: int) -> Step | None:
    """The first step about an element that convicts."""
    court = case.court()
    steps = accusations(court, case.layout, name, place, row, column)
    return next((step for step in steps if court.ruling(step).convicted), None)


def differing(honest: Case, theirs: Case) -> Iterator[tuple[str, Place, int, int]]:
    """Every element that two traces of one text do not share, array by array."""
    for array in shown(honest.layout):
        for place in product(*map(range, array.axes)):
            for row in range(array.shape(place)[0]):
                mine, other = (b"".join(case.shelf.data(array, place, row)) for case in (honest, theirs))
                if mine != other:
                    yield from _columns(array, place, row, mine, other)


def _columns(array: Array, place: Place, row: int, mine: bytes, other: bytes) -> Iterator[tuple[str, Place, int, int]]:
    width = array.kind.width
    for column in range(array.shape(place)[1]):
        if mine[column * width : (column + 1) * width] != other[column * width : (column + 1) * width]:
            yield array.name, place, row, column


def accused(honest: Case, theirs: Case) -> Step | None:
    """What somebody finds who recomputes a whole trace: a step about a differing element that convicts."""
    court = theirs.court()
    for name, place, row, column in differing(honest, theirs):
        for step in accusations(court, theirs.layout, name, place, row, column):
            if court.ruling(step).convicted:
                return step
    return None
