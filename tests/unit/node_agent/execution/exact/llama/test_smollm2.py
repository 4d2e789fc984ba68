"""SmolLM2-135M through the exact engine: one hash over everything that moves float engines, and how good it is."""

import math
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from contracts.protocol.manifest import Manifest
from node_agent.execution import kinds
from node_agent.execution.exact.build import build
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.exact.port import Reading
from node_agent.execution.exact.ways import sound
from node_agent.execution.floats.llama import load_llama
from node_agent.execution.model_files import ModelFiles, sha256_file
from node_agent.models import ModelStore
from tests.unit.node_agent.execution.exact.conftest import PLACES, elsewhere
from tests.world.prompts import SMOLLM2, answered, asked_of, tokenizer_of

pytestmark = pytest.mark.model

TRACE = "2c4fe428157faa03252173c47842ad2154fd1c0699ea8b61d338f6546ad31a39"
"""Of GENERATE, on every host."""

GENERATE = """
import sys
from pathlib import Path
from node_agent.execution.exact.llama.decoding import DecodingTask, generate, recheck
from node_agent.execution.exact.llama.model_file import read_model
from node_agent.execution.exact.sampling import ExactSampling
from contracts.protocol.trace import trace_hash_of
from node_agent.execution.exact.trace import encode

model = WAY.llama(read_model(Path(sys.argv[1])))
prompts = [[1, 4093, 198, 1780], [1, 504, 3575, 282, 4649, 314], list(range(300, 371)), [28]]
sampling = [ExactSampling(), ExactSampling(700, 900_000, bytes(range(32))), ExactSampling(), ExactSampling(1300)]
tasks = [DecodingTask(prompt, 6, frozenset(), how, i) for i, (prompt, how) in enumerate(zip(prompts, sampling))]
together = generate(model, tasks)
alone = [run for task in tasks for run in generate(model, [task])]
checked = [recheck(model, task, run.chosen) for task, run in zip(tasks, together)]
found = {trace_hash_of(encode([run.trace for run in runs])).hex() for runs in (together, alone, checked)}
sys.stdout.write(" ".join(sorted(found)))
"""


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    """SmolLM2-135M as the exact engine's model file, from the store."""
    return ModelStore().pull("smollm2-135m-exact")


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """The generation workload, greedy."""
    params = {"max_new_tokens": {"minimum": 1, "maximum": 64}}
    return kinds.write_manifest("generation", "smollm2-135m-exact", "cpu", check_price_units=10, params=params)


@pytest.fixture(scope="module")
def model_path(files: ModelFiles) -> Path:
    """The model file alone."""
    return files.weights


def test_the_file_is_the_same_on_every_host(files: ModelFiles, smollm_files: ModelFiles, tmp_path: Path) -> None:
    """Weights, scales and tables are decided by the source's digest: built here, it has the pinned one."""
    build(smollm_files, tmp_path / "model.safetensors")
    assert sha256_file(tmp_path / "model.safetensors") == files.weights_sha256
    assert (tmp_path / "config.json").read_bytes() == files.config.read_bytes()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", PLACES)
def test_one_trace_everywhere(model_path: Path, way: str) -> None:
    """Kernels and torch, threads, instruction sets, batch of four and alone, generation and check: one trace.

    `make bench-exact` has every pair of torch's settings.
    """
    assert elsewhere(way, GENERATE, model_path) == TRACE


@pytest.mark.timeout(300)
def test_it_answers_and_is_checked(files: ModelFiles, manifest: Manifest) -> None:
    """Loaded as a node loads it: rotary order, template, stop rule and sampling make a model that knows things."""
    engine = ExactGeneration.load(files, manifest, "cpu")
    prompts, params = asked_of(SMOLLM2, ["What is the capital of France?"]), {"max_new_tokens": 32}
    done = engine.execute(prompts, params)
    (answer,) = answered(done.output)
    assert tokenizer_of(SMOLLM2).decode(answer[:-1]) == "The capital of France is Paris."
    assert answer[-1] in manifest.stops
    assert engine.recheck(prompts, params, done.output) == done


@pytest.mark.timeout(300)
def test_it_is_nearly_as_good_as_fp32(model_path: Path, smollm_files: ModelFiles) -> None:
    """Perplexity within 1 % of fp32 on the same (dequantised) weights, and at least 95 % of the greedy choices."""
    tokens = torch.tensor(_tokens(smollm_files)[:512])
    with torch.inference_mode():
        floats = load_llama(smollm_files.weights, smollm_files.config, torch.device("cpu"))
        theirs = floats.logits(floats.forward(tokens, floats.new_cache(512)))
    model = sound("cpu").ways[0].llama(read_model(model_path))
    rows = model.read([Reading(tokens.tolist(), model.new_cache(512), 512)])
    ours = torch.from_numpy(rows).to(torch.float64) / 2**16
    losses = [F.cross_entropy(each[:-1].double(), tokens[1:]).item() for each in (theirs, ours)]
    assert math.exp(losses[1] - losses[0]) < 1.01
    assert (theirs.argmax(-1) == ours.argmax(-1)).double().mean() >= 0.95


def _tokens(files: ModelFiles) -> list[int]:
    return tokenizer_of(SMOLLM2).encode(topics["assignment"])


SPOOFED = [
    "Why is the sky blue?",
    "Write a short poem about the sea.",
    "What is 17 + 25?",
    "Name three rivers in Europe.",
    "Explain gravity to a child.",
    "What should I cook tonight?",
]


@pytest.mark.timeout(600)
def test_a_prefill_spoof_is_caught(files: ModelFiles, manifest: Manifest) -> None:
    """Who generates with int4 weights and then makes the trace of an honest prefill over those tokens is caught within
    64 tokens, each time: the verifier's pass chooses every token anew. Covers: A08, A53"""
    honest = ExactGeneration.load(files, manifest, "cpu")
    cheap = sound("cpu").ways[0].llama(int4(read_model(files.weights)))
    cheat = ExactGeneration(cheap, manifest)
    for prompt in SPOOFED:
        prompts, params = asked_of(SMOLLM2, [prompt]), {"max_new_tokens": 64}
        claimed = cheat.execute(prompts, params).output
        checked = honest.recheck(prompts, params, claimed)
        assert checked.output != claimed, prompt


def int4(parameters: Parameters) -> Parameters:
    """The model with its matrices on a grid of 15 levels a row, which reads like the model and costs a node less."""

    def coarse(matrix: Matrix) -> Matrix:
        steps = np.clip(np.rint(matrix.weight / (127 / 7)), -7, 7)
        return replace(matrix, weight=np.rint(steps * (127 / 7)).astype(np.int8))

    names = ("qkv", "attention_out", "gate_up", "down")
    layers = tuple(replace(each, **{n: coarse(getattr(each, n)) for n in names}) for each in parameters.layers)
    return replace(parameters, layers=layers)
