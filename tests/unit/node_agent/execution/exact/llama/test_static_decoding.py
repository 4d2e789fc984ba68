"""Steps of fixed shapes, as a GPU replays them: the bits of the other steps, and nothing that a graph may not contain.

They run on the CPU here, without graphs. What needs a GPU is in tests/gpu.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.eager import static_decoding
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.operations import watched
from node_agent.execution.exact.eager.products import ALL, Products, by_name
from node_agent.execution.exact.eager.slots import Slots, TextCache
from node_agent.execution.exact.eager.static_decoding import StaticDecoder
from node_agent.execution.exact.llama.decoding import DecodingBatch, DecodingRun, DecodingTask, generate
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.sampling import ExactSampling
from tests.unit.node_agent.execution.exact.llama.test_model import ONE_HEAD, TOKENS, read, shapes
from tests.world.soak import short_or_long

CPU = torch.device("cpu")
WARM = ExactSampling(temperature_milli=800, top_p_ppm=900_000, seed=bytes(range(32)))

_PATIENT = settings(max_examples=short_or_long(12, 100), suppress_health_check=[HealthCheck.function_scoped_fixture])


@torch.inference_mode()
def decoded(model: EagerLlama, texts: Sequence[tuple[int, int, list[int]]]) -> list[list[list[int]]]:
    """The logits after each token of each text, all decoded by one decoder.

    Args:
        texts: for each the step at which it joins, how many tokens are read before by `forward`, and its tokens.
    """
    decoder = StaticDecoder(model)
    caches = [model.new_cache(len(tokens)) for _, _, tokens in texts]
    rows: list[list[list[int]]] = [[] for _ in texts]
    for (_, before, tokens), cache, found in zip(texts, caches, rows, strict=True):
        found += model.logits(model.forward([(tokens[:before], cache)])).tolist() if before else []
    for step in range(max(join + len(tokens) - before for join, before, tokens in texts)):
        here = [
            (tokens[step - join + before], cache, found)
            for (join, before, tokens), cache, found in zip(texts, caches, rows, strict=True)
            if 0 <= step - join < len(tokens) - before
        ]
        if here:
            logits = decoder.logits([(token, cache) for token, cache, _ in here]).tolist()
            for (_, _, found), row in zip(here, logits, strict=True):
                found.append(row)
    return rows


@_PATIENT
@given(shape=shapes(), seed=st.integers(0, 1000), size=st.sampled_from([0.0, 0.01, 1.0, 8.0]), data=st.data())
def test_fixed_shapes_change_nothing(make_model, shape, seed, size, data) -> None:
    """Over the family of models: texts of any pasts that come and go, slots free or full, spans and blocks of any
    size. The logits are those of each text read alone."""
    model = EagerLlama(make_model(seed, size, **shape), data.draw(st.sampled_from(ALL)), CPU)
    token = st.integers(0, int(shape["vocab_size"]) - 1)
    tokens = data.draw(st.lists(st.lists(token, min_size=1, max_size=12), min_size=1, max_size=5))
    texts = [(data.draw(st.integers(0, 8)), data.draw(st.integers(0, len(each))), each) for each in tokens]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(static_decoding, "LEAST_SPAN", data.draw(st.sampled_from([1, 4, 64])))
        found = decoded(model, texts)
    assert found == [read(model, each) for each in tokens]


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
def test_what_is_masked_weighs_nothing(tiny: Parameters, products: Products) -> None:
    """Slots full of the largest integers that a past can hold: bounds, shares and logits are as with zeros there."""
    model = EagerLlama(tiny, products, CPU)
    with torch.inference_mode():
        clean, full = model.new_slots(4, 64), model.new_slots(4, 64)
        full.keys.fill_((1 << (tiny.config.key_bits - 1)) - 1)
        full.values.fill_(-((1 << (a.VALUE_BITS - 1)) - 1))
        for powers in (full.key_powers, full.value_powers):
            powers.fill_(1 << 17)
        for place, token in enumerate(TOKENS[:5]):
            found = [_decode(model, slots, [token, 7, token, 0], [place, 0, 0, place]) for slots in (clean, full)]
            assert torch.equal(found[0][[0, 1, 2]], found[1][[0, 1, 2]])
            assert found[0][0].tolist() == read(model, TOKENS[:5])[place]


def _decode(model: EagerLlama, slots: Slots, tokens: list[int], places: list[int]) -> torch.Tensor:
    hidden = model.decode(torch.tensor(tokens), torch.tensor(places), slots, slots.positions)
    return model.logits(hidden)  # (B, V)


def test_long_contexts(make_model) -> None:
    """Beside a text of thousands of positions, in a span twice as long: fp32's sums stay exact for both."""
    parameters = make_model(3, **ONE_HEAD)
    tokens = [7] * 1200 + [index * index % 61 for index in range(902)]
    texts = [(0, 2100, tokens), (0, 0, TOKENS[:2])]
    model, sure = (EagerLlama(parameters, by_name(name), CPU) for name in ("fp32", "fp64"))
    long, short = decoded(model, texts)
    assert long[-2:] == read(sure, tokens, 500)[-2:]
    assert short == read(sure, TOKENS[:2])


def facts(runs: Sequence[DecodingRun]) -> list[tuple[list[int], list[bytes]]]:
    return [(run.chosen, run.trace.shown()) for run in runs]


def tasks(count: int, sampling: ExactSampling) -> list[DecodingTask]:
    """Of prompts of up to several chunks, and answers of unequal length."""
    return [
        DecodingTask(
            [5 + text, 9, 44][: 1 + text % 3] * (1 + 20 * (text % 2)), 6 + 5 * text, frozenset({17}), sampling, text
        )
        for text in range(count)
    ]


def in_company(model: EagerLlama, given: Sequence[DecodingTask]) -> list[DecodingRun]:
    """A text joins every second step, so that decode steps alternate with others."""
    batch, runs = DecodingBatch(model), []
    for each in given:
        runs.append(batch.join(each))
        batch.step()
        batch.step()
    while batch.running:
        batch.step()
    return runs


@pytest.mark.parametrize("sampling", [ExactSampling(), WARM], ids=["greedy", "sampled"])
@pytest.mark.parametrize("run", [generate, in_company])
def test_a_batch_traces_the_same(tiny: Parameters, sampling: ExactSampling, run: Any) -> None:
    """Tokens and traces of whole generations are those of ragged steps, in the same or in changing company."""
    ragged, static = (EagerLlama(tiny, by_name("int8"), CPU) for _ in range(2))
    static.static_decoding = True
    given = tasks(5, sampling)
    assert facts(run(static, given)) == facts(generate(ragged, given))
    assert static._decoders


def test_decoders_serve_one_batch_after_the_other(tiny: Parameters) -> None:
    """What a batch before left in the slots changes nothing, and two batches at once do not touch each other."""
    ragged, static = (EagerLlama(tiny, by_name("int8"), CPU) for _ in range(2))
    static.static_decoding = True
    given = tasks(4, ExactSampling())
    alone = [facts(generate(ragged, [each])) for each in given]
    assert [facts(generate(static, [each])) for each in given] == alone
    assert len(static._decoders) == 1
    first, second = DecodingBatch(static), DecodingBatch(static)
    runs = [batch.join(each) for batch, each in zip((first, second, first, second), given, strict=True)]
    while first.running or second.running:
        for batch in (first, second):
            if batch.running:
                batch.step()
    assert [facts([run]) for run in runs] == alone
    assert len(static._decoders) == 2


def test_where_slots_do_not_fit(tiny: Parameters, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch whose slots exceed the memory goes on text by text, and by slots again when it has become smaller."""
    ragged, static = (EagerLlama(tiny, by_name("int8"), CPU) for _ in range(2))
    static.static_decoding, plain, counts = True, static.new_slots, []

    def new_slots(count: int, positions: int) -> Slots:
        counts.append(count)
        if count > 2 and positions > 1:
            raise torch.OutOfMemoryError
        return plain(count, positions)

    monkeypatch.setattr(static, "new_slots", new_slots)
    given = tasks(4, ExactSampling())
    assert facts(generate(static, given)) == facts(generate(ragged, given))
    assert {2, 4} <= set(counts)


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
def test_allowed_operations_only(tiny: Parameters, products: Products) -> None:
    """The static steps run what `operations.py` allows: nothing that rounds, and nothing that reads a tensor."""
    model = EagerLlama(tiny, products, CPU)
    model.static_decoding = True
    seen = watched(lambda: generate(model, tasks(3, WARM)))
    assert {"index_copy_", "bmm", "masked_fill_"} <= seen
    assert not {"_local_scalar_dense", "nonzero", "equal"} & seen


class OnTheDevice(TorchDispatchMode):
    """Refuses every operation that has a tensor elsewhere than on the device of no values, and int8 products of sizes
    that CUDA does not multiply."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        devices = {each.device.type for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)}
        assert devices <= {"meta"}, f"{func} has tensors on {devices}"
        if func is torch.ops.aten._int_mm.default:
            (rows, inputs), outputs = args[0].shape, args[1].shape[1]
            assert rows > 16, rows
            assert (inputs % 8, outputs % 8) == (0, 0), (inputs, outputs)
        return result


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
def test_nothing_is_asked_of_the_host(make_model, products: Products, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a pretended GPU, whose tensors have shapes and no values: no value is read, and nothing is copied to or from
    the host. So a graph can hold the whole step, with the padding that a GPU's products need."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    parameters = make_model(hidden_size=40, intermediate_size=2100)  # three pieces of the fp32 products
    model = EagerLlama(parameters, products, torch.device("meta"))
    inputs, slots = torch.zeros(2, 8, dtype=torch.int64, device="meta"), model.new_slots(8, 128)
    with OnTheDevice():
        logits = model.logits(model.decode(inputs[0], inputs[1], slots, 64))
        with pytest.raises(RuntimeError, match="meta tensor"):
            logits.amax().item()
        with pytest.raises(AssertionError, match="cpu"):
            torch.tensor([1])
    assert (logits.dtype, logits.shape) == (torch.int32, (8, 61))


class Count(TorchDispatchMode):
    """How often each operation runs."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ran[str(func)] += 1
        return func(*args, **(kwargs or {}))


def test_as_many_operations_for_any_number_of_texts(tiny: Parameters) -> None:
    """Which is what makes a batch as cheap to start as one text."""
    model, ran = EagerLlama(tiny, by_name("fp32"), CPU), []
    for count in (1, 32):
        slots, texts = model.new_slots(count, 64), [0] * count
        with torch.inference_mode(), Count() as counting:
            _decode(model, slots, texts, texts)
        ran.append(counting.ran)
    assert ran[0] == ran[1]


def test_a_past_moves_with_its_text(tiny: Parameters) -> None:
    """Between blocks of memory, before and after a step: what is read next sees all of it."""
    model = EagerLlama(tiny, by_name("fp64"), CPU)
    cache, rows = model.new_cache(len(TOKENS)), []
    with torch.inference_mode():
        for token in TOKENS:
            rows += model.logits(model.forward([([token], cache)])).tolist()
            before: TextCache = model.new_slots(2, 64).cache(1)
            cache.move(before)
            assert cache.keys.data_ptr() == before.keys.data_ptr()
    assert rows == read(model, TOKENS)
