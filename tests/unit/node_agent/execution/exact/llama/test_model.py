"""The fast path computes what the reference computes, however the work is cut up and however products are made."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node_agent.execution.exact import kernels
from node_agent.execution.exact.eager.products import ALL, Products
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.llama.reference import Reference
from node_agent.execution.exact.port import LlamaModel, Reading, Way
from tests.unit.node_agent.execution.exact.conftest import FAMILIES, WAYS
from tests.world.soak import short_or_long

ONE_HEAD: dict[str, object] = {
    "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "max_position_embeddings": 4096
}  # fmt: skip
"""For texts of thousands of positions: a second head or layer would sum no further."""
TOKENS = [3, 50, 7, 7, 19, 60, 0, 22, 41, 5, 33]

_PATIENT = settings(max_examples=short_or_long(12, 100), suppress_health_check=[HealthCheck.function_scoped_fixture])


def read(model: LlamaModel, tokens: list[int], chunk: int = 100) -> list[list[int]]:
    """The logits after every token, read in chunks."""
    cache = model.new_cache(len(tokens))
    rows: list[list[int]] = []
    for start in range(0, len(tokens), chunk):
        piece = tokens[start : start + chunk]
        rows += model.read([Reading(piece, cache, len(piece))]).tolist()
    return rows


each_way = pytest.mark.parametrize("way", WAYS, ids=lambda each: each.name)


@st.composite
def shapes(draw: st.DrawFn) -> dict[str, object]:
    """Configurations of all families: grouped heads, tied or not, odd sizes, scaled rotary frequencies, windows,
    biases, norms of heads."""
    family = FAMILIES[draw(st.sampled_from([*FAMILIES]))]
    window = {"sliding_window": draw(st.integers(1, 17))} if "sliding_window" in family else {}
    kv_heads, group = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    llama3 = {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    return {
        "vocab_size": draw(st.integers(3, 40)),
        "hidden_size": draw(st.integers(1, 33)),
        "intermediate_size": draw(st.integers(1, 37)),
        "num_hidden_layers": draw(st.integers(1, 3)),
        "num_attention_heads": kv_heads * group,
        "num_key_value_heads": kv_heads,
        "head_dim": 2 * draw(st.integers(1, 9)),
        "max_position_embeddings": 16,
        "rope_theta": draw(st.sampled_from([10_000.0, 100_000.0, 500_000])),
        "rope_scaling": draw(st.sampled_from([None, {"type": "linear", "factor": 2.0}, llama3])),
        "tie_word_embeddings": draw(st.booleans()),
        "rms_norm_eps": draw(st.sampled_from([1e-6, 1e-5, 0.1])),
        **family,
        **window,
    }


@_PATIENT
@given(shape=shapes(), seed=st.integers(0, 1000), size=st.sampled_from([0.0, 0.01, 1.0, 8.0]), data=st.data())
def test_fast_path_is_the_reference(make_model, shape, seed, size, data) -> None:
    """Equality over the family of models, from dead to saturating weights, and the reference's 63-bit bounds hold."""
    parameters = make_model(seed, size, **shape)
    tokens = data.draw(st.lists(st.integers(0, int(shape["vocab_size"]) - 1), min_size=1, max_size=9))
    reference = Reference(parameters)
    expected = [reference.logits(token) for token in tokens]
    way = data.draw(st.sampled_from(WAYS))
    assert read(way.llama(parameters), tokens, data.draw(st.integers(1, 9))) == expected


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
def test_small_matrices(products: Products) -> None:
    """However small a matrix and however few the rows, padded or not: the product is that of whole numbers."""
    rng = np.random.Generator(np.random.PCG64(3))
    for inputs in (1, 2, 3, 7, 8, 9, 17):
        for outputs in (1, 2, 3, 8, 9):
            weight = rng.integers(-127, 128, (outputs, inputs))
            prepared = products.prepare(torch.tensor(weight, dtype=torch.int8))
            for rows in (1, 2, 5, 33):
                x = rng.integers(-16383, 16384, (rows, inputs))
                assert products.linear(torch.tensor(x), prepared).tolist() == (x @ weight.T).tolist()


@pytest.mark.parametrize("name", kernels.available())
def test_tiles_of_any_size(name: str) -> None:
    """Rows, outputs and inputs that fill no tile or block, sums past 32 bits: products are those of whole numbers."""
    rng, found = np.random.Generator(np.random.PCG64(4)), kernels.loaded(name, 1)
    for inputs in (1, 15, 16, 33, 64, 1032, 2047, 2048, 2080, 4129):
        for outputs in (1, 3, 8, 13, 25):
            weight = rng.choice([-127, 127, 3], (outputs, inputs)).astype(np.int8)
            weight[0] = 127
            for rows in (1, 2, 4, 7, 9):
                x = rng.integers(-16383, 16384, (rows, inputs)).astype(np.int16)
                x[-1] = -16383
                expected = x.astype(np.int64) @ weight.T.astype(np.int64)
                assert (found.products(x, weight) == expected).all()


@each_way
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("head_dim", [64, 80, 128])
def test_each_family_at_the_widths_that_people_run(make_model, family: str, head_dim: int, way: Way) -> None:
    """Windows that slide, biases and norms of heads: what the reference computes, in chunks that straddle windows, and
    not what a plain Llama of the same weights would."""
    parameters = make_model(6, 4.0, head_dim=head_dim, num_hidden_layers=1, vocab_size=20, **FAMILIES[family])
    tokens = [token % 20 for token in TOKENS]
    reference = Reference(parameters)
    expected = [reference.logits(token) for token in tokens]
    assert read(way.llama(parameters), tokens, 4) == expected
    layer = replace(
        parameters.layers[0], qkv=replace(parameters.layers[0].qkv, bias=None), query_norm=None, key_norm=None
    )
    config = replace(parameters.config, window=0, head_epsilon=0, qkv_bias=False)
    plain = way.llama(replace(parameters, config=config, layers=(layer,)))
    assert (read(plain, tokens) == expected) is (family == "llama")


@each_way
def test_wide_rows(make_model, way: Way) -> None:
    """Rows that fp32 must cut into pieces, and saturating activations, come out as in the reference."""
    parameters = make_model(5, 4.0, hidden_size=48, intermediate_size=2500, num_hidden_layers=1)
    reference = Reference(parameters)
    assert read(way.llama(parameters), TOKENS[:3]) == [reference.logits(t) for t in TOKENS[:3]]


@each_way
@pytest.mark.parametrize("head_dim", [64, 128, 256])
def test_wide_heads(make_model, head_dim: int, way: Way) -> None:
    """Attention's products stay within 2^24 where heads are wide: bit widths follow the width."""
    parameters = make_model(6, 6.0, head_dim=head_dim, num_hidden_layers=1)
    reference = Reference(parameters)
    assert read(way.llama(parameters), TOKENS) == [reference.logits(t) for t in TOKENS]


@each_way
def test_chunks_are_one_arithmetic(tiny: Parameters, way: Way) -> None:
    """Prefill, decode and chunks of any size give the same logits: what lets a verifier check by one pass."""
    model = way.llama(tiny)
    whole = read(model, TOKENS)
    assert all(read(model, TOKENS, chunk) == whole for chunk in (1, 2, 3, 7))


@each_way
def test_company_changes_nothing(tiny: Parameters, way: Way) -> None:
    """Texts of different lengths and pasts, read together, get the logits that each gets alone, and only those."""
    model = way.llama(tiny)
    texts = [TOKENS, TOKENS[4:], [1], TOKENS[::-1][:6]]
    caches = [model.new_cache(40) for _ in texts]
    first = model.read([Reading(text[:1], cache, 1) for text, cache in zip(texts, caches, strict=True)]).tolist()
    pairs = [(text[1:], cache) for text, cache in zip(texts, caches, strict=True) if text[1:]]
    together = model.read(
        [Reading(text, cache, wanted) for (text, cache), wanted in zip(pairs, (3, 0, 5), strict=True)]
    )
    alone = [read(model, text) for text in texts]
    assert first == [rows[0] for rows in alone]
    assert together.tolist() == [*alone[0][-3:], *alone[3][-5:]]


@each_way
def test_nobody_wants_logits(tiny: Parameters, way: Way) -> None:
    """A chunk of a prompt of which no logits are wanted is read all the same."""
    model = way.llama(tiny)
    cache = model.new_cache(len(TOKENS))
    assert model.read([Reading(TOKENS[:4], cache, 0)]).shape == (0, tiny.config.vocab_size)
    assert model.read([Reading(TOKENS[4:], cache, 1)]).tolist() == read(model, TOKENS)[-1:]


def test_long_contexts(make_model) -> None:
    """Thousands of positions, evenly attended: shares stay bounded and sums exact, whatever the length."""
    parameters = make_model(3, **ONE_HEAD)
    tokens = [7] * 1200 + [index * index % 61 for index in range(900)]
    found = [read(way.llama(parameters), tokens, chunk) for way, chunk in zip(WAYS, (128, 500) * 5, strict=False)]
    assert all(each == found[0] for each in found)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(make_model, threads: int) -> None:
    """A matrix large enough to be split over torch's threads; those of the kernels are in test_kernels.py."""
    parameters = make_model(2, vocab_size=600, hidden_size=256, num_hidden_layers=1, intermediate_size=512)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = [read(way.llama(parameters), [9, 8, 7]) for way in WAYS]
    finally:
        torch.set_num_threads(before)
    reference = Reference(parameters)
    expected = [reference.logits(token) for token in (9, 8, 7)]
    assert all(each == expected for each in found)
