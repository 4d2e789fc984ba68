"""The forward pass against transformers, an independent implementation, on the tiny model."""

from dataclasses import asdict

import pytest
import torch
from transformers import LlamaConfig as ReferenceConfig
from transformers import LlamaForCausalLM

from node_agent.devices.self_test import REFERENCE_CONFIG, reference_model, reference_state
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.floats.llama import Llama
from node_agent.execution.published import LlamaConfig

CPU = torch.device("cpu")
TOKENS = torch.tensor([(5 * index + 1) % 512 for index in range(90)])


@torch.inference_mode()
def test_logits_agree_with_transformers() -> None:
    """Norms, rotary, grouped attention, SwiGLU and fusing are those of the reference."""
    reference = LlamaForCausalLM(ReferenceConfig(**asdict(REFERENCE_CONFIG), attn_implementation="eager")).eval()
    state = reference_state(REFERENCE_CONFIG)
    reference.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    model = reference_model(CPU)
    ours = model.logits(model.forward(TOKENS, model.new_cache(len(TOKENS))))
    assert (reference(TOKENS[None]).logits[0] - ours).abs().max() < 1e-3


@torch.inference_mode()
def test_cache_continues_where_it_stopped() -> None:
    """Decode after prefill computes the same function as one pass (to float error, not to the bit)."""
    model = reference_model(CPU)
    whole = model.forward(TOKENS, model.new_cache(90))
    cache = model.new_cache(90)
    parts = [model.forward(TOKENS[:50], cache), model.forward(TOKENS[50:70], cache)]
    parts += [model.forward(TOKENS[index : index + 1], cache) for index in range(70, 90)]
    assert torch.allclose(whole, torch.cat(parts), atol=1e-4)


@torch.inference_mode()
def test_future_tokens_do_not_matter() -> None:
    """The causal mask: a position's state depends on nothing after it."""
    model = reference_model(CPU)
    changed = TOKENS.clone()
    changed[-1] = 7
    first, second = (model.forward(tokens, model.new_cache(90)) for tokens in (TOKENS, changed))
    assert torch.equal(first[:-1], second[:-1])
    assert not torch.equal(first[-1], second[-1])


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_act": "gelu"},
        {"rope_scaling": {"rope_type": "llama3"}},
        {"attention_bias": True},
        {"model_type": "mistral"},
        {"num_attention_heads": 3},
    ],
)
def test_other_arithmetic_is_refused(change: dict[str, object]) -> None:
    """A model whose configuration asks for something else is refused rather than computed wrongly."""
    with pytest.raises(UnsupportedModel):
        LlamaConfig.from_json(asdict(REFERENCE_CONFIG) | change)


def test_missing_and_misshapen_weights_are_refused() -> None:
    """An incomplete or wrong file is named at load, with the tensor."""
    name = "model.layers.1.mlp.up_proj.weight"
    for spoiled in (None, torch.zeros(2, 2), torch.zeros(160, 64, dtype=torch.float16)):
        state = {key: value for key, value in reference_state(REFERENCE_CONFIG).items() if key != name}
        if spoiled is not None:
            state[name] = spoiled
        with pytest.raises(UnsupportedModel, match=name):
            Llama.from_state(REFERENCE_CONFIG, state, state.__getitem__, CPU)
