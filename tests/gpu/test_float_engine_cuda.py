"""The float engine on CUDA. Runs only where there is a GPU; what it holds is the same as on a CPU."""

from dataclasses import asdict

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from node_agent.devices import gpu, numeric_class, self_test
from node_agent.execution import determinism
from node_agent.execution.floats.decoding import read
from node_agent.execution.trace import Trace

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch sees none")

PROMPT = [(11 * index + 5) % self_test.REFERENCE_CONFIG.vocab_size for index in range(100)]


@torch.inference_mode()
def generate(device: str, tokens: int = 40) -> tuple[list[int], bytes]:
    """Tokens and trace of the reference model on a device."""
    determinism.enforce()
    model, trace = self_test.reference_model(torch.device(device)), Trace()
    cache = model.new_cache(len(PROMPT) + tokens)
    chosen = [read(model, PROMPT, cache, trace)]
    for _ in range(tokens - 1):
        chosen.append(read(model, chosen[-1:], cache, trace))
    return chosen, trace.digest()


def test_self_test_passes_and_repeats() -> None:
    """An honest GPU passes: exact integer products (no TF32), exact even softmax, ties, repetition."""
    assert self_test.run("cuda") == self_test.run("cuda")


def test_trace_repeats() -> None:
    """Two runs on one GPU give one trace, also while another stream is busy."""
    busy = torch.randn(2048, 2048, device="cuda")
    first = generate("cuda")
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(50):
            busy = busy @ busy
    assert generate("cuda") == first


@torch.inference_mode()
def test_logits_agree_with_transformers() -> None:
    """The same operations on CUDA compute the same function as the independent implementation."""
    config = LlamaConfig(**asdict(self_test.REFERENCE_CONFIG), attn_implementation="eager")
    state = self_test.reference_state(self_test.REFERENCE_CONFIG)
    reference = LlamaForCausalLM(config).eval()
    reference.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    determinism.enforce()
    tokens = torch.tensor(PROMPT)
    model = self_test.reference_model(torch.device("cuda"))
    ours = model.logits(model.forward(tokens.cuda(), model.new_cache(len(PROMPT)))).cpu()
    assert (reference(tokens[None]).logits[0] - ours).abs().max() < 1e-3


def test_numeric_class_names_the_gpu() -> None:
    """A GPU's class is its own: never a CPU's, and it names silicon and driver."""
    found = numeric_class.current("cuda")
    assert found.digest != numeric_class.current("cpu").digest
    assert found.facts["name"] == torch.cuda.get_device_name()
    assert found.facts["driver"]
    assert gpu.probe(torch.device("cuda")).memory_bytes > 2**30
