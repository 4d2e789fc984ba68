"""The fused kernels compute what the reference computes: on a GPU where there is one, else under Triton's interpreter.

The interpreter takes about a second a layer and read of a tiny model, so short runs have few examples.
"""

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node_agent.execution.exact import golden
from node_agent.execution.exact import kernels as compiled
from node_agent.execution.exact.eager.static_decoding import StaticDecoder
from node_agent.execution.exact.encoder.model_file import EncoderParameters
from node_agent.execution.exact.fused.products import LEAST_ROWS, TritonProducts, square_roots
from node_agent.execution.exact.fused.ways import FusedWay, require_sound
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.llama.reference import Reference
from node_agent.execution.exact.port import LlamaModel, Reading
from node_agent.execution.exact.ways import KernelWay
from tests.unit.node_agent.execution.exact.conftest import FAMILIES
from tests.unit.node_agent.execution.exact.llama.test_model import TOKENS, read, shapes
from tests.world.soak import SOAK, short_or_long

pytestmark = pytest.mark.process

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
WAY = FusedWay(TritonProducts(), DEVICE)
KERNELS = KernelWay(compiled.loaded(compiled.available()[0], 1))
SMALL: dict[str, object] = {"num_hidden_layers": 1, "vocab_size": 20, "max_position_embeddings": 128}

_PATIENT = settings(max_examples=short_or_long(3, 60), suppress_health_check=[HealthCheck.function_scoped_fixture])


@_PATIENT
@given(shape=shapes(), seed=st.integers(0, 1000), size=st.sampled_from([0.0, 0.01, 1.0, 8.0]), data=st.data())
def test_fused_kernels_are_the_reference(make_model, shape, seed, size, data) -> None:
    """Equality over the family of models, from dead to saturating weights, in chunks of any size: grouped heads, odd
    widths, windows, biases, norms of heads."""
    parameters = make_model(seed, size, **shape | {"num_hidden_layers": 1})
    tokens = data.draw(st.lists(st.integers(0, int(shape["vocab_size"]) - 1), min_size=1, max_size=5))
    reference = Reference(parameters)
    expected = [reference.logits(token) for token in tokens]
    assert read(WAY.llama(parameters), tokens, data.draw(st.integers(2, 5))) == expected


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_at_the_widths_that_people_run(make_model, family: str) -> None:
    """Head widths that fill a tile or do not, windows that slide, biases, norms of heads, chunks that straddle."""
    for head_dim in short_or_long((80,), (64, 80, 128)):
        parameters = make_model(6, 4.0, head_dim=head_dim, **SMALL, **FAMILIES[family])
        tokens = [token % 20 for token in TOKENS[:8]]
        assert read(WAY.llama(parameters), tokens, 5) == read(KERNELS.llama(parameters), tokens)


def test_many_blocks_of_positions(make_model) -> None:
    """Texts longer than the positions that a program takes at once, with a window and without."""
    tokens = [index * index % 20 for index in range(70)]
    for family in ("llama", "mistral"):
        parameters = make_model(7, 4.0, **SMALL, **FAMILIES[family], num_key_value_heads=1, num_attention_heads=2)
        assert read(WAY.llama(parameters), tokens) == read(KERNELS.llama(parameters), tokens)


def test_a_group_larger_than_a_program(make_model) -> None:
    """Sixteen query heads of one key/value head: more than the queries that a program usually answers."""
    parameters = make_model(8, 4.0, **SMALL, num_key_value_heads=1, num_attention_heads=16)
    assert read(WAY.llama(parameters), [3, 17, 7]) == read(KERNELS.llama(parameters), [3, 17, 7])


def stepped(model: LlamaModel, texts: list[list[int]]) -> list[list[list[int]]]:
    """Logits after each token, all texts read together: a first chunk of each, then token by token."""
    caches, rows = [model.new_cache(len(text)) for text in texts], [[] for _ in texts]
    for step in range(-1, max(map(len, texts)) - 2):
        cuts = [slice(0, 2) if step < 0 else slice(step + 2, step + 3) for _ in texts]
        here = [index for index, text in enumerate(texts) if text[cuts[index]]]
        batch = [Reading(texts[index][cuts[index]], caches[index], len(texts[index][cuts[index]])) for index in here]
        found = iter(model.read(batch).tolist())
        for index, reading in zip(here, batch, strict=True):
            rows[index] += [next(found) for _ in reading.tokens]
    return rows


def test_texts_together_get_what_each_gets_alone(make_model) -> None:
    """Ragged steps, then steps of fixed shapes over slots, in which texts of other lengths stay and leave."""
    parameters = make_model(9, 4.0, **SMALL)
    texts = [TOKENS[:6], [2, 1], [5, 4, 19, 7]]
    texts = [[token % 20 for token in text] for text in texts]
    ragged, static = WAY.llama(parameters), WAY.llama(parameters)
    static.static_decoding = True
    expected = [read(KERNELS.llama(parameters), text) for text in texts]
    assert stepped(ragged, texts) == expected
    assert stepped(static, texts) == expected
    assert static._decoders


@torch.inference_mode()
def test_what_a_slot_held_before_weighs_nothing(tiny: Parameters) -> None:
    """Slots full of the largest integers and powers of two that a past can hold: logits are as with zeros there."""
    model, found = WAY.llama(tiny), []
    for full in (False, True):
        slots = model.new_slots(2, 64)
        if full:
            slots.keys.fill_((1 << (tiny.config.key_bits - 1)) - 1)
            slots.values.fill_(-255)
            slots.key_powers.fill_(1 << 17)
            slots.value_powers.fill_(1 << 17)
        tokens, places = torch.tensor([5, 7], device=DEVICE), torch.tensor([0, 0], device=DEVICE)
        found.append(model.logits(model.decode(tokens, places, slots, 64)).tolist())
    assert found[0] == found[1] == [read(model, [token])[0] for token in (5, 7)]


def test_an_encoder_by_tritons_product(tiny_encoder: EncoderParameters) -> None:
    """What is not fused multiplies by the kernels' product, and gives the states of the compiled kernels."""
    texts = [[3, 50, 7], [1]]
    found, expected = (way.encoder(tiny_encoder).states(texts) for way in (WAY, KERNELS))
    assert [states.tolist() for states in found] == [states.tolist() for states in expected]


def test_nothing_reaches_beyond_its_memory(tiny: Parameters) -> None:
    """A kernel checks no index, so a text too long for its cache or model, or with an unknown token, is refused."""
    model = WAY.llama(tiny)
    for positions, tokens in ((2, [1, 2, 3]), (8, [61]), (8, [-1]), (200, [1] * 97)):
        with pytest.raises(ValueError, match=r"positions exceeds|tokens 0 to 60"):
            model.read([Reading(tokens, model.new_cache(positions), 1)])


def test_products_fill_32_bits_and_no_more() -> None:
    """The largest activations and weights of the widest row that a model may have; odd sizes; rows of several
    programs. Products are those of whole numbers."""
    sizes = [(65535, 2, 1), (1, 1, 1), (17, 3, LEAST_ROWS)]
    products = TritonProducts()
    for inputs, outputs, rows in sizes + short_or_long([], [(4104, 24, 33), (576, 96, 70)]):
        weight = golden.worst_weights(outputs, inputs)
        x = np.concatenate(list(golden.worst_activations(rows, inputs).values()))
        prepared = products.prepare(torch.from_numpy(weight).to(DEVICE))
        found = products.linear(torch.from_numpy(x).to(DEVICE), prepared).cpu().numpy()
        assert (found == x @ weight.T.astype("int64")).all(), (inputs, outputs, rows)


def test_square_roots() -> None:
    """Next to perfect squares of the whole range, where a seed that is off by one shows."""
    golden.require_square_roots("triton", lambda squares: square_roots(squares, DEVICE))
    drawn = [random.Random(index).randrange(2**60, 2**62) for index in range(500)]
    assert all(root**2 <= v < (root + 1) ** 2 for root, v in zip(square_roots(drawn, DEVICE), drawn, strict=True))


@pytest.mark.timeout(900)
@pytest.mark.skipif(not SOAK and DEVICE.type == "cpu", reason="interpreted, it takes minutes: make soak")
def test_the_self_test_passes() -> None:
    """What a host with a GPU runs at its start: worst products, and all golden logits, by steps of fixed shapes too."""
    require_sound(WAY)
    with torch.inference_mode():
        assert isinstance(WAY.llama(golden.golden_parameters()).decoder_of([]), StaticDecoder)


@pytest.mark.parametrize("model", [golden.golden_parameters, golden.golden_family])
def test_golden_models(model) -> None:
    """The beginning of both golden texts: tiles of several rows, and rows of several tiles."""
    tokens = list(golden.GOLDEN_TOKENS[: short_or_long(3, 24)])
    assert read(WAY.llama(model()), tokens, 24) == read(KERNELS.llama(model()), tokens)
