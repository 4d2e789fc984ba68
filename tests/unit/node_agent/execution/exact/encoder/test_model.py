"""The encoder's fast path computes what its reference computes, in any company and however products are made."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import Integers
from node_agent.execution.exact.eager import encoder as fast
from node_agent.execution.exact.eager.encoder import EagerEncoder
from node_agent.execution.exact.eager.operations import watched
from node_agent.execution.exact.eager.products import ALL, Products, by_name
from node_agent.execution.exact.encoder.model_file import EncoderParameters
from node_agent.execution.exact.encoder.reference import EncoderReference
from node_agent.execution.exact.port import EncoderModel, Way
from node_agent.execution.floats.bert import Bert
from node_agent.execution.published import BertConfig
from tests.unit.node_agent.execution.exact.conftest import TINY_ENCODER, WAYS, random_encoder_state
from tests.world.soak import short_or_long

CPU = torch.device("cpu")
TOKENS = [3, 50, 7, 7, 19, 52, 0, 22, 41, 5, 33]

_PATIENT = settings(max_examples=short_or_long(12, 100), suppress_health_check=[HealthCheck.function_scoped_fixture])


each_way = pytest.mark.parametrize("way", WAYS, ids=lambda each: each.name)


def read(model: EncoderModel, tokens: list[int]) -> tuple[list[Any], list[int]]:
    """States and vector of one text by itself."""
    states = model.states([tokens])
    return [each.tolist() for each in states], model.vector(states[-1])


def by_hand(parameters: EncoderParameters, tokens: list[int]) -> tuple[list[Any], list[int]]:
    """The same by the reference."""
    reference = EncoderReference(parameters)
    states = reference.states(tokens)
    return states, reference.vector(states[-1])


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, object]:
    """Configurations of the family: one head or many, of any even width."""
    heads = draw(st.integers(1, 4))
    return {
        "vocab_size": draw(st.integers(3, 40)),
        "hidden_size": heads * 2 * draw(st.integers(1, 5)),
        "intermediate_size": draw(st.integers(1, 37)),
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": heads,
        "max_position_embeddings": 16,
        "layer_norm_eps": draw(st.sampled_from([1e-12, 1e-5])),
    }


@_PATIENT
@given(shape=shapes(), seed=st.integers(0, 1000), size=st.sampled_from([0.0, 0.01, 1.0, 8.0, 20.0]), data=st.data())
def test_fast_path_is_the_reference(make_encoder, shape, seed, size, data) -> None:
    """Equality over the family of models, from dead to saturating weights, and the reference's 63-bit bounds hold."""
    parameters = make_encoder(seed, size, **shape)
    tokens = data.draw(st.lists(st.integers(0, int(shape["vocab_size"]) - 1), min_size=1, max_size=9))
    way = data.draw(st.sampled_from(WAYS))
    assert read(way.encoder(parameters), tokens) == by_hand(parameters, tokens)


@each_way
def test_wide_rows(make_encoder, way: Way) -> None:
    """Rows that fp32 must cut into pieces come out as in the reference."""
    parameters = make_encoder(
        5, 4.0, hidden_size=64, intermediate_size=1536, num_hidden_layers=1, num_attention_heads=1
    )
    assert read(way.encoder(parameters), TOKENS[:3]) == by_hand(parameters, TOKENS[:3])


@each_way
def test_company_changes_nothing(tiny_encoder: EncoderParameters, way: Way, monkeypatch) -> None:
    """Texts of different lengths, together and in pieces of any size, get the states that each gets alone."""
    model = way.encoder(tiny_encoder)
    texts = [TOKENS, [1], TOKENS[::-1] * 5, TOKENS[4:]]
    alone = [read(model, text) for text in texts]
    for piece in (1, 7, 64):
        monkeypatch.setattr(fast, "PIECE_ROWS", piece)
        monkeypatch.setattr(fast, "PIECE_QUERIES", 65 - piece)
        together, start = model.states(texts), 0
        for text, (states, vector) in zip(texts, alone, strict=True):
            mine = [each[start : start + len(text)] for each in together]
            assert [each.tolist() for each in mine] == states
            assert model.vector(mine[-1]) == vector
            start += len(text)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(make_encoder, threads: int) -> None:
    """Matrices large enough to be split over threads."""
    parameters = make_encoder(2, hidden_size=96, num_hidden_layers=1, intermediate_size=512)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = [read(way.encoder(parameters), [9, 8, 7]) for way in WAYS]
    finally:
        torch.set_num_threads(before)
    expected = by_hand(parameters, [9, 8, 7])
    assert all(each == expected for each in found)


def test_long_texts(make_encoder) -> None:
    """Thousands of positions that see each other: shares stay bounded and fp32's sums exact, whatever the length."""
    parameters = make_encoder(
        3, num_hidden_layers=1, num_attention_heads=1, hidden_size=8, max_position_embeddings=4096
    )
    tokens = [7] * 1200 + [index * index % 53 for index in range(900)]
    found = [read(way.encoder(parameters), tokens) for way in WAYS]
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
def test_allowed_operations_only(tiny_encoder: EncoderParameters, products: Products) -> None:
    """No operation whose bits could differ between hosts runs on the way from tokens to a vector."""
    model = EagerEncoder(tiny_encoder, products, CPU)
    seen = watched(lambda: model.vector(model.forward([TOKENS * 5, TOKENS])[-1][-11:]))
    assert {"bmm", "bucketize", "index_select", "sqrt_"} <= seen


@torch.inference_mode()
def test_it_is_near_the_float_encoder(make_encoder) -> None:
    """A tiny BERT by floats on the same weights: every layer's states are within what rounding to int8 explains."""
    fields = TINY_ENCODER | {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 96}
    state = {name: torch.from_numpy(values) for name, values in random_encoder_state(fields, 4).items()}
    floats = Bert.from_state(BertConfig.from_json(fields), state, state.__getitem__, CPU)
    exact = EagerEncoder(
        make_encoder(4, hidden_size=48, num_attention_heads=4, intermediate_size=96), by_name("fp32"), CPU
    )
    pairs = list(zip(floats.forward(torch.tensor(TOKENS)), exact.forward([TOKENS]), strict=True))
    assert len(pairs) == 3
    for theirs, ours in pairs:
        difference = (ours / 2**a.RESIDUAL_FRACTION - theirs).norm() / theirs.norm()
        assert difference < 0.02


@each_way
def test_vectors_have_length_one(tiny_encoder: EncoderParameters, way: Way) -> None:
    """Whatever the text, within half a step a number."""
    model = way.encoder(tiny_encoder)
    for tokens in ([0], TOKENS, TOKENS * 5):
        vector = np.array(model.vector(model.states([tokens])[-1])) / 2**a.VECTOR_FRACTION
        assert abs(np.linalg.norm(vector) - 1) < 24**0.5 * 2.0**-a.VECTOR_FRACTION


@each_way
def test_states_of_nothing_have_no_direction(tiny_encoder: EncoderParameters, way: Way) -> None:
    """States that cancel, and the largest there are: the vector is zeros, or as long as one."""
    model = way.encoder(tiny_encoder)
    reference = EncoderReference(tiny_encoder)
    largest = [a.STATE_MAX] * 24
    for states in ([[0] * 24], [[5] * 24, [-5] * 24], [largest] * 3, [[1] + [0] * 23], [largest[:12] + [-3] * 12] * 2):
        assert model.vector(np.array(states)) == reference.vector(states)
    assert model.vector(np.zeros((2, 24), np.int64)) == [0] * 24


# ---------------------------------------------------------------- extremes


def extreme(name: str, values: Integers, mode: str, rng: np.random.Generator) -> Integers:
    """All high, all low, either at random, or anything between."""
    low, high = {"weight": (-127, 127), "multiplier": (0, 2**24 - 1), "exponent": (24, 37)}.get(
        name.rpartition(".")[2], (-(2**30) + 1, 2**30 - 1)
    )
    made = {
        "h": np.full(values.shape, high),
        "l": np.full(values.shape, low),
        "m": rng.choice([low, high], values.shape),
        "r": rng.integers(low, high + 1, values.shape),
    }[mode]
    return made.astype(values.dtype)


def tensors(parameters: EncoderParameters) -> dict[str, Integers]:
    """A model's tensors by the names of its file."""
    found: dict[str, Integers] = {}
    for name in parameters.config.shapes():
        *path, field = name.split(".")
        value: object = parameters
        if path[:1] == ["layers"]:
            value, path = parameters.layers[int(path[1])], path[2:]
        for step in path:
            value = value if step == "table" else getattr(value, step)
        got = getattr(value, field)
        found[name] = np.array([got], np.int32) if field == "exponent" else got
    return found


@settings(max_examples=short_or_long(12, 100), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_file_leaves_64_bits(make_encoder, data) -> None:
    """Models made of extreme numbers only: the reference raises where a value needs more than 63 bits, the fast path
    saturates where it does, and states fit into int32."""
    width = data.draw(st.sampled_from([4, 20, 256]))
    good = make_encoder(
        hidden_size=width,
        num_attention_heads=2 if width < 256 else 1,
        num_hidden_layers=1 if width == 256 else 2,
        intermediate_size=7,
        vocab_size=5,
    )
    rng = np.random.Generator(np.random.PCG64(data.draw(st.integers(0, 2**32))))
    made = {
        name: values if name.startswith("table.") else extreme(name, values, data.draw(st.sampled_from("hlmr")), rng)
        for name, values in tensors(good).items()
    }
    parameters = EncoderParameters.assemble(good.config, made.__getitem__)
    tokens = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    states, vector = by_hand(parameters, tokens)
    assert all(abs(value) <= a.STATE_MAX for layer in states for row in layer for value in row)
    assert all(abs(value) <= 2**a.VECTOR_FRACTION for value in vector)
    assert read(data.draw(st.sampled_from(WAYS)).encoder(parameters), tokens) == (states, vector)


@each_way
def test_states_saturate(make_encoder, way: Way) -> None:
    """Gains and biases of the largest size: states stop at int32's end, on all paths."""
    good = make_encoder(num_hidden_layers=1)
    made = tensors(good)
    for name in made:
        if name.endswith("norm.gain"):
            made[name] = np.full_like(made[name], 2**30 - 1)
    parameters = EncoderParameters.assemble(good.config, made.__getitem__)
    states, _ = found = read(way.encoder(parameters), TOKENS)
    assert max(abs(value) for row in states[0] for value in row) == a.STATE_MAX
    assert found == by_hand(parameters, TOKENS)
