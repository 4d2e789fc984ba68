"""The exact engine on CUDA gives the bits that it gives on a CPU. Runs only where there is a GPU."""

from pathlib import Path

import numpy as np
import pytest
import torch

from node_agent.execution import determinism
from node_agent.execution.exact import build_encoder, self_test
from node_agent.execution.exact.build_llama import build_from
from node_agent.execution.exact.decoding import Task, generate, recheck
from node_agent.execution.exact.encoder import ExactEncoder
from node_agent.execution.exact.encoder_file import read_encoder
from node_agent.execution.exact.model import ExactLlama
from node_agent.execution.exact.model_file import Parameters, read_model
from node_agent.execution.exact.products import ALL, by_name
from node_agent.execution.exact.sampling import Sampling
from node_agent.execution.exact.trace import trace_hash
from tests.unit.node_agent.execution.exact.conftest import TINY, TINY_ENCODER, random_encoder_state, random_state

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch sees none")

PROMPTS, NEW_TOKENS = 1000, 16
SHAPE = TINY | {
    "vocab_size": 997,
    "hidden_size": 192,
    "intermediate_size": 1536,
    "head_dim": 48,
    "num_hidden_layers": 4,
}


@pytest.fixture(scope="module")
def parameters(tmp_path_factory: pytest.TempPathFactory) -> Parameters:
    """A model of seeded numbers, longer in its inner width than one piece of the fp32 products."""
    path = tmp_path_factory.mktemp("cuda") / "model.safetensors"
    build_from(SHAPE, random_state(SHAPE, 11).__getitem__, "0" * 64, path)
    return read_model(path)


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    """Prompts of 1 to 64 tokens, every third sampled."""
    rng = np.random.Generator(np.random.PCG64(5))
    made = []
    for index in range(PROMPTS):
        prompt = rng.integers(0, 997, int(rng.integers(1, 65))).tolist()
        how = Sampling(800, 900_000, index.to_bytes(32, "big")) if index % 3 == 0 else Sampling()
        made.append(Task(prompt, NEW_TOKENS, frozenset(), how, index))
    return made


@pytest.fixture(scope="module")
def on_the_cpu(parameters: Parameters, tasks: list[Task]) -> list[bytes]:
    """Each task's trace, by the slowest and surest products."""
    determinism.full_precision()
    model = ExactLlama(parameters, by_name("fp64"), torch.device("cpu"))
    return [
        trace_hash([run.trace]) for start in range(0, PROMPTS, 50) for run in generate(model, tasks[start : start + 50])
    ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("products", [each.name for each in ALL])
def test_every_trace_is_the_cpus(
    parameters: Parameters, tasks: list[Task], on_the_cpu: list[bytes], products: str
) -> None:
    """1,000 prompts in batches of 1 to 64, by each way to multiply that is sound on this card. Covers: A09"""
    device = torch.device("cuda")
    determinism.full_precision()
    self_test.require_sound(by_name(products), device)
    model = ExactLlama(parameters, by_name(products), device)
    start, size, traces = 0, 1, []
    while start < PROMPTS:
        traces += [trace_hash([run.trace]) for run in generate(model, tasks[start : start + size])]
        start, size = start + size, size % 64 + 1
    assert traces == on_the_cpu


@pytest.mark.timeout(600)
def test_a_cpu_checks_what_a_gpu_answered(parameters: Parameters, tasks: list[Task]) -> None:
    """One pass on a CPU over the tokens that a GPU generated gives its trace. Covers: A09"""
    gpu = ExactLlama(parameters, self_test.sound_products("cuda"), torch.device("cuda"))
    cpu = ExactLlama(parameters, self_test.sound_products("cpu"), torch.device("cpu"))
    for run in generate(gpu, tasks[:64]):
        checked = recheck(cpu, run.task, run.chosen)
        assert checked is not None
        assert trace_hash([checked.trace]) == trace_hash([run.trace])


def test_the_self_test_finds_a_sound_way() -> None:
    """Worst-case products and golden logits on the card itself."""
    report = self_test.run(torch.device("cuda"))
    assert report.products in {each.name for each in ALL}


@pytest.mark.parametrize("products", [each.name for each in ALL])
def test_every_state_is_the_cpus(tmp_path: Path, products: str) -> None:
    """An encoder's states and vectors of 64 texts, in one batch on the card and one by one on a CPU. Covers: A09"""
    fields = TINY_ENCODER | {"hidden_size": 192, "num_attention_heads": 6, "intermediate_size": 1536}
    path = tmp_path / "model.safetensors"
    build_encoder.build_from(fields, random_encoder_state(fields, 5).__getitem__, "0" * 64, path)
    rng = np.random.Generator(np.random.PCG64(7))
    texts = [rng.integers(0, 53, int(length)).tolist() for length in rng.integers(1, 65, 64)]
    gpu = ExactEncoder(read_encoder(path), by_name(products), torch.device("cuda"))
    cpu = ExactEncoder(read_encoder(path), by_name("fp64"), torch.device("cpu"))
    together = [torch.split(states, [len(text) for text in texts]) for states in gpu.forward(texts)]
    for index, text in enumerate(texts):
        alone = cpu.forward([text])
        assert all(torch.equal(layer[index].cpu(), states) for layer, states in zip(together, alone, strict=True))
        assert gpu.vector(together[-1][index]) == cpu.vector(alone[-1])
