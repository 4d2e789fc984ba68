"""One wrong bit in any kind of operation, anywhere, and one party convicts by one step's openings."""

import re
from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from contracts.model.court.checker import Step
from contracts.model.court.operations.base import Spot
from contracts.model.court.shelves import Shelf
from contracts.model.court.trees import Key
from node_agent.execution.exact import reference
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.llama.model_file import LayerParameters, Parameters
from node_agent.execution.exact.sampling import ExactSampling
from tests.unit.node_agent.execution.exact.conftest import FAMILIES, MakeEncoder, MakeModel, with_biases
from tests.unit.node_agent.execution.exact.court.cases import (
    Case,
    accused,
    convicting,
    corners,
    decoder_case,
    encoder_case,
    flipped,
    shown,
)
from tests.unit.node_agent.execution.exact.court.tracing import model_shelf
from tests.world.soak import short_or_long

pytestmark = pytest.mark.timeout(short_or_long(300, 7_200))
RANDOM_BITS = short_or_long(150, 10_000)
WHOLE_TRACES = short_or_long(1, 100)
SAMPLED = ExactSampling(temperature_milli=900, top_p_ppm=800_000, seed=bytes(range(32)))
SMALL: dict[str, object] = {
    "vocab_size": 70,
    "hidden_size": 8,
    "intermediate_size": 66,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 4,
    "max_position_embeddings": 80,
}
SMALL_ENCODER: dict[str, object] = {
    "vocab_size": 53,
    "hidden_size": 8,
    "intermediate_size": 66,
    "num_attention_heads": 2,
    "max_position_embeddings": 80,
}
KINDS = ["greedy", "sampled", "every part", "encoder"]
PROMPTS = [[3, 5], [7, 1, 2]]


LEAST = {"hidden_size": 4, "intermediate_size": 5, "vocab_size": 9}


@pytest.fixture(scope="module")
def model(make_model: MakeModel) -> Parameters:
    """A Llama of two layers."""
    return make_model(**SMALL)


@pytest.fixture(scope="module")
def every_part(make_model: MakeModel) -> Parameters:
    """The same with a window of two positions, norms of heads and biases."""
    return with_biases(make_model(**SMALL, **FAMILIES["qwen3 with a window"]))


@pytest.fixture(scope="module")
def cases(model: Parameters, every_part: Parameters, make_encoder: MakeEncoder) -> dict[str, Case]:
    """Two layers each: a Llama that is greedy, one that samples, one with all that families add, a BERT; the second of
    two texts is looked at."""
    return {
        "every part": decoder_case(every_part, PROMPTS, text=1),
        "greedy": decoder_case(model, PROMPTS, text=1),
        "sampled": decoder_case(model, PROMPTS, sampling=SAMPLED, text=1),
        "encoder": encoder_case(make_encoder(**SMALL_ENCODER), PROMPTS, text=1),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_bit_in_any_kind_of_operation_convicts(cases: dict[str, Case], kind: str) -> None:
    """Every array, and so every kind of operation, at the first and last position, layer, head and element: the lowest
    bit of a value is turned, all else is as it should be. The step's own openings suffice."""
    case, missed, used = cases[kind], [], set()
    for array in shown(case.layout):
        for place, row, column in corners(array):
            wrong = flipped(case, array, place, row, column)
            step = convicting(wrong, array.name, place, row, column)
            if step is None or not wrong.proof(step).convicted:
                missed.append((array.name, place, row, column))
            else:
                used.add(step.operation)
    assert not missed
    kinds = {name for name in case.court().operations if ":" not in name}
    assert kinds <= used


def test_a_wrong_bit_in_a_long_text_convicts(model: Parameters, make_encoder: MakeEncoder) -> None:
    """More than 64 positions: sums over positions have two levels, and the past has two blocks."""
    tokens = [index % 50 for index in range(66)]
    for case in (decoder_case(model, [tokens]), encoder_case(make_encoder(**SMALL_ENCODER), [tokens])):
        for array in shown(case.layout):
            if array.name.startswith(("mix.", "pool.", "key", "value")):
                place, row, column = [*corners(array)][-1]
                wrong = flipped(case, array, place, row, column)
                step = convicting(wrong, array.name, place, row, column)
                assert step is not None, array.name
                assert wrong.proof(step).convicted
        assert {"mix.total.1", "value"} <= case.court().operations.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_any_bit_of_any_encoding_convicts(cases: dict[str, Case], kind: str) -> None:
    """Bits drawn from all bytes that a node shows, those that its encoding leaves spare among them."""
    case, random = cases[kind], Random(kind)
    arrays = shown(case.layout)
    for _ in range(RANDOM_BITS):
        array = random.choice(arrays)
        place = tuple(random.randrange(size) for size in array.axes)
        rows, width = array.shape(place)
        row, column, bit = random.randrange(rows), random.randrange(width), random.randrange(8 * array.kind.width)
        wrong = flipped(case, array, place, row, column, bit)
        assert convicting(wrong, array.name, place, row, column) is not None, (array.name, place, row, column, bit)


def test_spare_bits_convict_by_any_step_that_reads_them(cases: dict[str, Case]) -> None:
    """A value out of its range and a block that is too short are no values, whatever is computed from them."""
    case, step = cases["greedy"], Step("norm.squares.0", Spot((1, 2)))
    residual = case.layout.arrays["residual"]
    key = Key("residual", (1,), 2, 0)
    whole = case.shelf.data(residual, (1,), 2)[0]
    for wrong in (flipped(case, residual, (1,), 2, 3, bit=37), case.planted(key, whole[:-1])):
        ruling = wrong.proof(step)
        assert ruling.convicted
        assert re.search("are not within|bytes are not 8 values", ruling.why)


def test_of_all_steps_those_that_read_the_wrong_bit_convict(make_model: MakeModel, make_encoder: MakeEncoder) -> None:
    """A whole trace, step by step: none convicts the honest one, and at least one convicts whatever bit is wrong."""
    model, encoder = make_model(**(SMALL | LEAST | {"head_dim": 2})), make_encoder(**(SMALL_ENCODER | LEAST))
    parts = with_biases(make_model(**(SMALL | LEAST | {"head_dim": 2}), **FAMILIES["qwen3 with a window"]))
    least = [
        decoder_case(parts, [[3, 4, 5]], 1),
        decoder_case(model, [[3]], 2),
        decoder_case(model, [[3]], 2, SAMPLED),
        encoder_case(encoder, [[4, 5]]),
    ]
    for case in least:
        random = Random(1)
        assert _convictions(case) == []
        for _ in range(WHOLE_TRACES):
            array = random.choice(shown(case.layout))
            place, row, column = random.choice([*corners(array)])
            assert _convictions(flipped(case, array, place, row, column)), (array.name, place, row, column)


def _convictions(case: Case, *units: str) -> list[Step]:
    """All steps that convict, of these units if any are named."""
    court = case.court()
    kinds = [one for name, one in court.operations.items() if name.startswith(units or "")]
    steps = [Step(one.name, spot) for one in kinds for spot in one.spots(case.layout)]
    return [step for step in steps if court.ruling(step).convicted]


def _with_weight(model: Parameters) -> Parameters:
    """Another model: one weight of the last layer is larger by one."""
    last = model.layers[-1]
    weight = last.down.weight.copy()
    weight[0, 0] += 1 if weight[0, 0] < 127 else -1
    layers = (*model.layers[:-1], replace(last, down=replace(last.down, weight=weight)))
    return replace(model, layers=layers)


def test_a_trace_of_another_model_convicts(model: Parameters, cases: dict[str, Case]) -> None:
    """A node that computes with one other weight, and all that follows from it rightly, signs what the model root
    convicts."""
    theirs = replace(decoder_case(_with_weight(model), PROMPTS, text=1), model=model_shelf(model))
    assert _is_convicted(cases["greedy"], theirs)


PARTS: dict[str, Callable[[Parameters], Parameters]] = {
    "window": lambda model: replace(model, config=replace(model.config, window=0)),
    "another window": lambda model: replace(model, config=replace(model.config, window=3)),
    "biases": lambda model: _with_layers(model, lambda layer: replace(layer, qkv=replace(layer.qkv, bias=None))),
    "norm": lambda model: _with_layers(model, lambda layer: replace(layer, key_norm=layer.query_norm)),
    "epsilon of norms": lambda model: replace(model, config=replace(model.config, head_epsilon=2**33)),
}
"""Other models by the same weights: what a family adds left out or changed."""


def _with_layers(model: Parameters, change: Callable[[LayerParameters], LayerParameters]) -> Parameters:
    return replace(model, layers=tuple(map(change, model.layers)))


@pytest.mark.parametrize("part", PARTS)
def test_who_leaves_out_what_a_family_adds_is_convicted(
    every_part: Parameters, cases: dict[str, Case], part: str
) -> None:
    """A node that computes a plain Llama by the weights of a Mistral or Qwen, and shows what it computed."""
    honest, other = cases["every part"], decoder_case(PARTS[part](every_part), PROMPTS, text=1)
    pairs = zip(honest.shelves, other.shelves, strict=True)
    shelves = tuple(Shelf(mine.layout, theirs._sheet) for mine, theirs in pairs)
    assert _is_convicted(honest, replace(honest, shelves=shelves))


def _is_convicted(honest: Case, theirs: Case) -> bool:
    """Whether somebody who recomputes convicts."""
    step = accused(honest, theirs)
    return step is not None and theirs.proof(step).convicted


CHEATS: dict[str, Callable[[int, int], int]] = {
    "rounds down": lambda value, bits: value >> bits,
    "loses a bit": lambda value, bits: ((value + ((1 << bits) >> 1)) >> bits) & ~1,
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_other_arithmetic_convicts_though_the_rest_follows_from_it(
    model: Parameters, cases: dict[str, Case], cheat: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that rounds otherwise everywhere, and is consistent in that, is convicted where it differs first."""
    monkeypatch.setattr(reference, "round_shift", CHEATS[cheat])
    theirs = decoder_case(model, PROMPTS, text=1)
    monkeypatch.undo()
    assert _is_convicted(cases["greedy"], theirs)


def test_among_equal_logits_the_lowest_id_is_right(model: Parameters) -> None:
    """All tokens alike: id 0 is greedy's, and 1 convicts; sampled, ids decide the order, and the honest draw stands."""
    same = np.repeat(model.embedding.weight[:1], len(model.embedding.weight), axis=0)
    scale = np.repeat(model.embedding.multiplier[:1], len(same))
    alike = Matrix(same, scale, model.embedding.exponent)
    tied = replace(model, embedding=alike, head=alike)
    case = decoder_case(tied, [[5, 6]])
    assert _convictions(case, "choice", "output") == []
    wrong = _answering(case, 2)
    assert wrong.proof(Step("output:greedy", Spot((0,), 0, 2, 0))).convicted
    assert _convictions(decoder_case(tied, [[5, 6]], sampling=SAMPLED), "choice", "output") == []


def test_a_witness_that_is_not_the_first_convicts(model: Parameters) -> None:
    """One encoding a value: of equal largest values the first index is the witness, any other convicts."""
    zero = replace(model.embedding, multiplier=np.zeros_like(model.embedding.multiplier))
    case = decoder_case(replace(model, embedding=zero, head=zero), [[5, 6]])
    assert _convictions(case, "norm", "choice", "mix") == []
    for name in ("norm.exponent_at", "norm.short_exponent_at", "choice.largest_at", "mix.largest_at"):
        array = case.layout.arrays[name]
        place = tuple(size - 1 for size in array.axes)
        step = convicting(flipped(case, array, place, 0, 0), name, place, 0, 0)
        assert step is not None
        assert step.operation.endswith(":first")


def _answering(case: Case, step: int) -> Case:
    """The case with another token at a step of the answer, committed and traced alike."""
    arrays, prompt = case.layout.arrays, case.layout.text.prompt
    return flipped(flipped(case, arrays["output"], (0,), 0, step), arrays["token"], (0,), 0, prompt + step)


@pytest.mark.parametrize("kind", ["greedy", "sampled"])
@pytest.mark.parametrize("step", [0, 2])
def test_a_wrong_token_convicts_though_it_is_what_was_committed(cases: dict[str, Case], kind: str, step: int) -> None:
    """The first and the last token, exchanged in answer and trace alike: what it was chosen from says otherwise."""
    wrong = _answering(cases[kind], step)
    found = _convictions(wrong, "choice", "output")
    assert found
    assert wrong.proof(found[0]).convicted


@pytest.mark.parametrize(("limit", "stops", "right"), [
    (3, [], True), (4, [], False), (2, [], False), (4, [-1], True), (3, [-1], True), (4, [0], False),
    (4, [0, -1], False),
])  # fmt: skip
def test_an_answer_ends_at_its_first_stop_or_at_the_limit(
    cases: dict[str, Case], limit: int, stops: list[int], right: bool
) -> None:
    """Too short, too long, and past a stop convict; `stops` are indices of the answer's own tokens."""
    case = cases["sampled"]
    answer = case.layout.arrays["output"]
    tokens = [int.from_bytes(case.shelf.data(answer, (0,), 0)[0][4 * i : 4 * i + 4], "big") for i in range(3)]
    assert len(set(tokens)) == 3
    ended = replace(case, terms=replace(case.terms, limit=limit, stops=frozenset(tokens[index] for index in stops)))
    rulings = [ended.proof(Step("output:end", Spot((0,), 0, step))).convicted for step in range(3)]
    assert any(rulings) is not right


def test_another_draw_convicts(cases: dict[str, Case]) -> None:
    """A node that draws with a seed, a temperature, or a top-p of its own is convicted by the order's."""
    case = cases["sampled"]
    terms = case.terms
    for other in (
        replace(terms, seed=bytes(32)),
        replace(terms, temperature_milli=1100),
        replace(terms, top_p_ppm=300_000),
        replace(terms, temperature_milli=0),
    ):
        assert _convictions(replace(case, terms=other), "choice", "output")
