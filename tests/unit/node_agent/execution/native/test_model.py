"""The forward pass against transformers, an independent implementation, and against itself."""

from dataclasses import asdict
from itertools import product

import pytest
import torch
from transformers import LlamaConfig as ReferenceConfig
from transformers import LlamaForCausalLM

from node_agent.devices.self_test import REFERENCE_CONFIG, reference_state
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.native.model import NativeLlama, batch_of
from node_agent.execution.native.settings import DTYPES, NativeSettings
from tests.unit.node_agent.execution.native.conftest import MakeModel

CPU = torch.device("cpu")
TOKENS = [(5 * index + 1) % 512 for index in range(90)]


@pytest.mark.parametrize(("dtype", "attention"), list(product(DTYPES, ("eager", "sdpa"))))
@torch.inference_mode()
def test_logits_agree_with_transformers(make_model: MakeModel, dtype: str, attention: str) -> None:
    """In each type and with each attention, to that type's precision."""
    config = ReferenceConfig(**asdict(REFERENCE_CONFIG), attn_implementation=attention)
    reference = LlamaForCausalLM(config).eval()
    state = reference_state(REFERENCE_CONFIG)
    reference.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    expected = reference.to(DTYPES[dtype])(torch.tensor([TOKENS])).logits.float()  # type: ignore[index]
    model = make_model(dtype=dtype, attention=attention)
    found = model.logits(model.forward(batch_of([TOKENS], CPU), model.new_cache(1, 90)))
    spread = expected.std()
    assert (found - expected).abs().max() < {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.15}[dtype] * spread


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.inference_mode()
def test_texts_of_unequal_length_share_a_batch(make_model: MakeModel, attention: str) -> None:
    """Each text's states are those that it has alone, to float error: lengths, masks and positions are its own."""
    model = make_model(attention=attention)
    prompts, cache = [TOKENS[:7], TOKENS[20:61]], model.new_cache(2, 60)
    for row, prompt in enumerate(prompts):
        model.forward(batch_of([prompt], CPU), cache.row(row))
        cache.used[row] = len(prompt)
    together = [model.forward(batch_of([[each], [each + 1]], CPU), cache)[:, 0] for each in (3, 9, 27)]
    for row, prompt in enumerate(prompts):
        whole = [*prompt, *(each + row for each in (3, 9, 27))]
        alone = model.forward(batch_of([whole], CPU), model.new_cache(1, 60))[0, -3:]
        assert torch.allclose(torch.stack([each[row] for each in together]), alone, atol=1e-4)


def test_weights_of_any_float_type_are_taken_as_they_are(make_model: MakeModel) -> None:
    """bf16 and fp16 files load; integers, holes and other shapes are refused by name."""
    name = "model.layers.1.mlp.up_proj.weight"
    for dtype in DTYPES.values():
        state = {key: value.to(dtype) for key, value in reference_state(REFERENCE_CONFIG).items()}
        model = NativeLlama.from_state(REFERENCE_CONFIG, state, state.__getitem__, NativeSettings("bfloat16"), CPU)
        assert model.head.dtype == torch.bfloat16
    for spoiled in (None, torch.zeros(2, 2), torch.zeros(160, 64, dtype=torch.int8)):
        state = {key: value for key, value in reference_state(REFERENCE_CONFIG).items() if key != name}
        if spoiled is not None:
            state[name] = spoiled
        with pytest.raises(UnsupportedModel, match=name):
            NativeLlama.from_state(REFERENCE_CONFIG, state, state.__getitem__, NativeSettings(), CPU)


@pytest.mark.parametrize("wrong", [{"dtype": "int8"}, {"attention": "flash"}, {"threads": 0}])
def test_settings_that_do_not_exist_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no way to compute"):
        NativeSettings(**wrong)  # type: ignore[arg-type]
