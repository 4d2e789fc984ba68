"""The exact engine on CUDA gives the bits that it gives on a CPU. Runs only where there is a GPU."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.gpu import models, speed
from contracts.protocol.trace import trace_hash_of
from node_agent.execution import determinism
from node_agent.execution.exact import golden
from node_agent.execution.exact.build import build_from
from node_agent.execution.exact.eager import ways
from node_agent.execution.exact.eager.encoder import EagerEncoder
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.products import ALL, by_name
from node_agent.execution.exact.eager.ways import EagerWay
from node_agent.execution.exact.encoder.model_file import read_encoder
from node_agent.execution.exact.fused import ways as fused
from node_agent.execution.exact.fused.products import TritonProducts
from node_agent.execution.exact.llama.decoding import DecodingBatch, DecodingRun, DecodingTask, generate, recheck
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.exact.sampling import ExactSampling
from node_agent.execution.exact.trace import encode
from tests.unit.node_agent.execution.exact.conftest import TINY, TINY_ENCODER, random_encoder_state, random_state

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch sees none")

GPU, CPU = torch.device("cuda"), torch.device("cpu")
WAYS = [*(each.name for each in ALL), "triton"]
PROMPTS, NEW_TOKENS = 1000, 16
SHAPE = TINY | {
    "vocab_size": 997,
    "hidden_size": 192,
    "intermediate_size": 1536,
    "head_dim": 48,
    "num_hidden_layers": 4,
    "max_position_embeddings": 320,
}


def on_the_gpu(name: str, graphs: bool = True) -> EagerWay:
    """One of WAYS."""
    if name == "triton":
        return fused.FusedWay(TritonProducts(graphs), GPU)
    return EagerWay(by_name(name, graphs), GPU)


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> Parameters:
    """A model of seeded numbers, longer in its inner width than one piece of the fp32 products."""
    path = tmp_path_factory.mktemp("cuda") / "model.safetensors"
    build_from(SHAPE, random_state(SHAPE, 11).__getitem__, "0" * 64, path)
    return read_model(path)


@pytest.fixture(scope="module")
def smollm2() -> Parameters:
    """Fixed integers in the shape of SmolLM2-135M: the sizes for which a GPU's libraries choose their kernels."""
    return golden.fixed_llama(models.SMOLLM2, models.QKV_EXPONENT)


def task(index: int, length: int, new: int = NEW_TOKENS, vocabulary: int = 997) -> DecodingTask:
    """Every third is sampled."""
    prompt = (golden.mixed(length, index) % vocabulary).tolist()
    how = ExactSampling(800, 900_000, index.to_bytes(32, "big")) if index % 3 == 0 else ExactSampling()
    return DecodingTask(prompt, new, frozenset(), how, index)


@pytest.fixture(scope="module")
def tasks() -> list[DecodingTask]:
    """Prompts of 1 to 64 tokens."""
    return [task(index, 1 + 37 * index % 64) for index in range(PROMPTS)]


@pytest.fixture(scope="module")
def on_the_cpu(parameters: Parameters, tasks: list[DecodingTask]) -> list[bytes]:
    """Each task's trace, by the slowest and surest products."""
    determinism.full_precision()
    model = EagerLlama(parameters, by_name("fp64"), CPU)
    return [each for start in range(0, PROMPTS, 50) for each in hashes(generate(model, tasks[start : start + 50]))]


def hashes(runs: Sequence[DecodingRun]) -> list[bytes]:
    return [trace_hash_of(encode([run.trace])) for run in runs]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("graphs", [True, False], ids=["graphs", "no graphs"])
@pytest.mark.parametrize("products", WAYS)
def test_every_trace_is_the_cpus(
    parameters: Parameters, tasks: list[DecodingTask], on_the_cpu: list[bytes], products: str, graphs: bool
) -> None:
    """1,000 prompts in batches of 1 to 64, by each way to multiply, replayed and not. Covers: A09"""
    determinism.full_precision()
    way = on_the_gpu(products, graphs)
    (fused if products == "triton" else ways).require_sound(way)
    model = way.llama(parameters)
    start, size, traces = 0, 1, []
    while start < PROMPTS:
        traces += hashes(generate(model, tasks[start : start + size]))
        start, size = start + size, size % 64 + 1
    assert traces == on_the_cpu


@pytest.mark.timeout(900)
@pytest.mark.parametrize("products", WAYS)
def test_replays_survive_every_change(parameters: Parameters, products: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts of 1 to 250 positions join at each step and leave in any order, so that between two replays slots are
    filled, freed and taken again, and spans and slots grow. Covers: A09"""
    determinism.full_precision()
    replays = count_replays(monkeypatch)
    given = [task(index, 1 + 13 * index % 90, 5 + 29 * index % 160) for index in range(40)]
    gpu, cpu = on_the_gpu(products).llama(parameters), EagerLlama(parameters, by_name("fp64"), CPU)
    batch, runs = DecodingBatch(gpu), []
    for each in given:
        runs.append(batch.join(each))
        batch.step()  # which reads a prompt: no replay
        batch.step()
        batch.step()
    while batch.running:
        batch.step()
    assert hashes(runs) == hashes(generate(cpu, given))
    again = [hashes(generate(gpu, given[start : start + 7])) for start in range(0, 40, 7)]  # by graphs made before
    assert [each for some in again for each in some] == hashes(runs)
    assert len(replays) > 200


def count_replays(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """A list that grows by an entry a replay."""
    replays: list[None] = []
    plain = torch.cuda.CUDAGraph.replay

    def replay(graph: torch.cuda.CUDAGraph) -> None:
        replays.append(None)
        plain(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", replay)
    return replays


@pytest.mark.timeout(900)
@pytest.mark.parametrize("products", WAYS)
def test_a_cpu_checks_what_a_gpu_answered(smollm2: Parameters, products: str) -> None:
    """At SmolLM2's size, 64 texts at once: one pass on a CPU over the tokens of each gives its trace. Covers: A09"""
    determinism.full_precision()
    gpu, cpu = (
        on_the_gpu(products).llama(smollm2),
        ways.sound_ways("cpu").ways[0].llama(smollm2),
    )
    vocabulary = models.SMOLLM2.vocab_size
    for run in generate(gpu, [task(index, 1 + 3 * index, vocabulary=vocabulary) for index in range(64)]):
        checked = recheck(cpu, run.task, run.chosen)
        assert checked is not None
        assert hashes([checked]) == hashes([run])


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("products", WAYS)
@torch.inference_mode()
def test_a_step_asks_nothing_of_the_host(parameters: Parameters, products: str) -> None:
    """What is captured runs without a single wait for the GPU."""
    model = on_the_gpu(products).llama(parameters)
    inputs, slots = torch.zeros(2, 8, dtype=torch.int64, device=GPU), model.new_slots(8, 64)
    model.logits(model.decode(inputs[0], inputs[1], slots, 64))  # libraries set themselves up
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        model.logits(model.decode(inputs[0], inputs[1], slots, 64))
    finally:
        torch.cuda.set_sync_debug_mode(before)


def test_the_self_test_finds_a_sound_way() -> None:
    """Worst-case products and golden logits on the card itself, by graphs."""
    found = fused.sound_ways(str(GPU))
    for kind in (ways.EagerWay, fused.FusedWay):
        assert any(type(way) is kind and way.products.graphs for way in found.ways), found.unsound


@pytest.mark.parametrize("products", WAYS)
def test_every_state_is_the_cpus(tmp_path: Path, products: str) -> None:
    """An encoder's states and vectors of 64 texts, in one batch on the card and one by one on a CPU. Covers: A09"""
    fields = TINY_ENCODER | {"hidden_size": 192, "num_attention_heads": 6, "intermediate_size": 1536}
    path = tmp_path / "model.safetensors"
    build_from(fields, random_encoder_state(fields, 5).__getitem__, "0" * 64, path)
    rng = np.random.Generator(np.random.PCG64(7))
    texts = [rng.integers(0, 53, int(length)).tolist() for length in rng.integers(1, 65, 64)]
    gpu = on_the_gpu(products).encoder(read_encoder(path))
    cpu = EagerEncoder(read_encoder(path), by_name("fp64"), CPU)
    together = [torch.split(states, [len(text) for text in texts]) for states in gpu.forward(texts)]
    for index, text in enumerate(texts):
        alone = cpu.forward([text])
        assert all(torch.equal(layer[index].cpu(), states) for layer, states in zip(together, alone, strict=True))
        assert gpu.vector(together[-1][index]) == cpu.vector(alone[-1])


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # of transformers
def test_speed_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """Decode and prefill beside transformers in bf16 and fp32, at SmolLM2's size; `make bench-gpu` measures longer."""
    found = {name: speed.measure(on_the_gpu(name), batches=(1, 64), rounds=3) for name in ("fp32", "triton")}
    with capsys.disabled():
        for name, results in found.items():
            for batch, measured in results["batches"].items():
                ratios = {which: round(ratio, 2) for which, ratio in measured["ratios"].items()}
                print(f"\n{name}, batch {batch}:", ratios)  # noqa: T201
