"""Models that are nearly those that the exact engine computes: each is refused, and told by what.

A kind is one way in which a config.json, a tensor or a field of GGUF says that the model is another one.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors.numpy import save_file

from bench.exact.families import State, random_state, small
from bench.exact.gguf_files import write
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact.build import build
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.gguf_convert import convert
from node_agent.execution.model_files import ModelFiles

_YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8, "rope_theta": 1e4}
_WINDOW = {"use_sliding_window": True, "sliding_window": 4}

FIELDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    # of other families, which a Llama's file may carry
    "attention_bias": ("Llama 2", {"attention_bias": True}),
    "mlp_bias": ("Llama 2", {"mlp_bias": True}),
    "hidden_act": ("Llama 2", {"hidden_act": "gelu"}),
    "attention_multiplier": ("Llama 2", {"attention_multiplier": 0.0078}),
    "embedding_multiplier": ("Llama 2", {"embedding_multiplier": 12.0}),
    "residual_multiplier": ("Llama 2", {"residual_multiplier": 0.22}),
    "logits_scaling": ("Llama 2", {"logits_scaling": 8.0}),
    "logit_scale": ("Llama 2", {"logit_scale": 0.5}),
    "final_logit_softcapping": ("Llama 2", {"final_logit_softcapping": 30.0}),
    "attn_logit_softcapping": ("Llama 2", {"attn_logit_softcapping": 50.0}),
    "query_pre_attn_scalar": ("Llama 2", {"query_pre_attn_scalar": 256}),
    "num_local_experts": ("Mistral", {"num_local_experts": 8}),
    "num_experts": ("Qwen3", {"num_experts": 128}),
    "no_rope_layers": ("Llama 2", {"no_rope_layers": [1, 0]}),
    "use_qk_norm": ("Llama 2", {"use_qk_norm": True}),
    "quantization_config": ("Llama 2", {"quantization_config": {"quant_method": "fp8"}}),
    "auto_map": ("Llama 2", {"auto_map": {"AutoModelForCausalLM": "modeling_x.X"}}),
    "is_encoder_decoder": ("Llama 2", {"is_encoder_decoder": True}),
    "a field that nobody knows": ("Llama 2", {"surprise": 1}),
    "model_type": ("Llama 2", {"model_type": "gemma2"}),
    "architectures": ("Llama 2", {"architectures": ["LlamaForSequenceClassification"]}),
    # rotation
    "partial_rotary_factor": ("Llama 2", {"partial_rotary_factor": 0.5}),
    "partial_rotary_factor of rope_parameters": (
        "Llama 2",
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}},
    ),
    "rope_interleaved": ("Llama 2", {"rope_interleaved": True}),
    "use_mrope": ("Qwen2.5", {"use_mrope": True}),
    "dynamic scaling": ("Llama 2", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}),
    "mrope scaling": ("Qwen2.5", {"rope_parameters": {"type": "mrope", "mrope_section": [1, 1], "rope_theta": 1e4}}),
    "scaling of two kinds": (
        "Llama 2",
        {"rope_parameters": {"type": "linear", "rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}},
    ),
    "scaling said twice": ("Llama 2", {"rope_scaling": {"type": "linear", "factor": 2.0}}),
    "scaling without its factor": ("Llama 2", {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4}}),
    "scaling with more to say": ("Qwen2.5, YaRN", {"rope_parameters": {**_YARN, "mscale": 0.7}}),
    "scaling of long and short texts": (
        "Llama 2",
        {
            "rope_parameters": {
                "rope_type": "longrope",
                "short_factor": [1.0] * 4,
                "long_factor": [2.0] * 4,
                "attention_factor": 1.0,
                "original_max_position_embeddings": 8,
                "rope_theta": 1e4,
            }
        },
    ),
    "two thetas": ("Llama 2", {"rope_theta": 5e5}),
    "no theta": ("Qwen3", {"rope_parameters": None}),
    # windows
    "a Llama's window": ("Llama 2", {"sliding_window": 4}),
    "a window's layers": ("Qwen2.5", {**_WINDOW, "max_window_layers": 1}),
    "layer_types": ("Qwen3", {**_WINDOW, "layer_types": ["full_attention", "sliding_attention"]}),
    "layer_types without a window": ("Qwen3", {"layer_types": ["sliding_attention"] * 2}),
    "a window that is not said": ("Mistral", {"sliding_window": None, "-": "sliding_window"}),
    "layers of which windows are not said": ("Qwen2.5", _WINDOW),
    # sizes
    "no epsilon": ("Llama 2", {"rms_norm_eps": None}),
    "no width of heads": ("Qwen3", {"head_dim": None}),
    "heads that do not divide the width": ("Llama 2", {"head_dim": None, "num_attention_heads": 5}),
    "heads that form no groups": ("Llama 2", {"num_key_value_heads": 3}),
    "more heads": ("Llama 3.1", {"num_attention_heads": 8, "head_dim": 4}),
    "narrower heads": ("Qwen3", {"head_dim": 4, "num_attention_heads": 8, "num_key_value_heads": 4}),
    "one layer fewer": ("Llama 2", {"num_hidden_layers": 1}),
    "one layer more": ("Llama 2", {"num_hidden_layers": 3}),
    "another width": ("Llama 2", {"hidden_size": 24}),
    "another inner width": ("Llama 2", {"intermediate_size": 12}),
    "another vocabulary": ("Llama 2", {"vocab_size": 39}),
    "tied where the file is not": ("Llama 2", {"tie_word_embeddings": True}),
    "not tied where the file is": ("SmolLM2", {"tie_word_embeddings": False}),
    "biases that it does not say": ("Qwen2.5", {"model_type": "llama"}),
    "biases that it has not": ("Llama 2", {"model_type": "qwen2"}),
    "norms of heads that it does not say": ("Qwen3", {"model_type": "llama"}),
    "norms of heads that it has not": ("Llama 2", {"model_type": "qwen3"}),
}
"""By kind: a case of `families.CASES`, and what config.json says instead. `-` names a field to leave out."""


def changed(kind: str) -> tuple[dict[str, Any], State]:
    """The config.json of a kind of FIELDS, and the tensors of the model that it is nearly."""
    name, changes = FIELDS[kind]
    fields = small(name) | changes
    fields.pop(fields.pop("-", ""), None)
    return fields, random_state(small(name))


TENSORS: Mapping[str, Callable[[State], object]] = {
    "a bias": lambda state: state.update({"model.layers.1.self_attn.o_proj.bias": np.ones(32, np.float32)}),
    "a norm more": lambda state: state.update({"model.layers.0.post_feedforward_layernorm.weight": _ones(32)}),
    "an expert": lambda state: state.update(
        {"model.layers.0.mlp.experts.0.up_proj.weight": np.ones((2, 2), np.float32)}
    ),
    "a scale": lambda state: state.update({"model.layers.0.mlp.up_proj.weight_scale_inv": _ones(1)}),
    "other frequencies": lambda state: state.update({"model.layers.0.self_attn.rotary_emb.inv_freq": _ones(4)}),
    "no norm": lambda state: state.pop("model.norm.weight"),
    "a layer's part": lambda state: state.pop("model.layers.1.mlp.up_proj.weight"),
    "NaN": lambda state: state["model.layers.0.mlp.up_proj.weight"].__setitem__((0, 0), np.nan),
    "infinity": lambda state: state["model.norm.weight"].__setitem__(0, np.inf),
    "a norm beyond all bounds": lambda state: state["model.norm.weight"].__setitem__(0, 1e5),
    "another shape": lambda state: state.update({"model.norm.weight": _ones(31)}),
}
"""By kind: what is done to the tensors of a small Llama."""


def _ones(count: int) -> Any:
    return np.ones(count, np.float32)


def _turned(writer: gguf.GGUFWriter, count: int | None) -> None:
    """Says another number of dimensions that turn, or none."""
    del writer.kv_data[0]["llama.rope.dimension_count"]
    if count is not None:
        writer.add_rope_dimension_count(count)


GGUF: Mapping[str, Callable[[gguf.GGUFWriter], object]] = {
    "llama.rope.scaling.type": lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE),
    "llama.rope.scaling.factor": lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.YARN),
    "llama.rope.scaling.attn_factor": lambda writer: writer.add_float32("llama.rope.scaling.attn_factor", 0.5),
    "llama.rope.scale_linear": lambda writer: writer.add_float32("llama.rope.scale_linear", 2.0),
    "llama.rope.dimension_count is 2": lambda writer: _turned(writer, 2),
    "llama.rope.dimension_count is absent": lambda writer: _turned(writer, None),
    "llama.rope.dimension_sections": lambda writer: writer.add_rope_dimension_sections([1, 1, 1, 1]),
    "llama.rope.dimension_count is 8, not 128": lambda writer: writer.add_key_length(128),
    "llama.attention.value_length": lambda writer: writer.add_value_length(2),
    "llama.attention.causal": lambda writer: writer.add_causal_attention(False),
    "llama.attention.scale": lambda writer: writer.add_attention_scale(0.5),
    "llama.attention.clamp_kqv": lambda writer: writer.add_clamp_kqv(8.0),
    "llama.attention.layer_norm_epsilon": lambda writer: writer.add_layer_norm_eps(1e-5),
    "llama.attn_logit_softcapping": lambda writer: writer.add_attn_logit_softcapping(50.0),
    "llama.final_logit_softcapping": lambda writer: writer.add_final_logit_softcapping(30.0),
    "llama.logit_scale": lambda writer: writer.add_logit_scale(0.5),
    "llama.embedding_scale": lambda writer: writer.add_embedding_scale(12.0),
    "llama.residual_scale": lambda writer: writer.add_residual_scale(0.22),
    "llama.expert_count": lambda writer: writer.add_expert_count(8),
    "llama.expert_used_count": lambda writer: writer.add_expert_used_count(2),
    "llama.pooling_type": lambda writer: writer.add_pooling_type(gguf.PoolingType.MEAN),
    "llama.use_parallel_residual": lambda writer: writer.add_parallel_residual(True),
    "llama.vocab_size": lambda writer: writer.add_vocab_size(7),
    "general.architecture": lambda writer: writer.add_string("general.type", "adapter"),
    "split.count": lambda writer: writer.add_uint16("split.count", 3),
    "qwen2.rope.freq_base": lambda writer: writer.add_float32("qwen2.rope.freq_base", 1e6),
    "rope_freqs.weight": lambda writer: writer.add_tensor("rope_freqs.weight", _ones(1)),
    "blk.0.attn_q.bias": lambda writer: writer.add_tensor("blk.0.attn_q.bias", _ones(4)),
    "blk.0.attn_q_norm.weight": lambda writer: writer.add_tensor("blk.0.attn_q_norm.weight", _ones(4)),
    "blk.9.attn_q.weight": lambda writer: writer.add_tensor("blk.9.attn_q.weight", np.ones((4, 4), np.float32)),
    "blk.0.ffn_gate_exps.weight": lambda writer: writer.add_tensor("blk.0.ffn_gate_exps.weight", _ones(4)),
    "the type of odd": lambda writer: writer.add_tensor(
        "odd", np.zeros((1, 66), np.uint8), raw_dtype=gguf.GGMLQuantizationType.IQ2_XXS
    ),
}
"""By the name that the refusal says: what is added to a Llama in GGUF."""


def built_of(folder: Path, fields: Mapping[str, Any], state: State) -> Parameters:
    """A model file of a stored model, made in an empty folder and read back."""
    weights, config, made = folder / "model.safetensors", folder / "config.json", folder / "made"
    made.mkdir()
    save_file(state, weights)
    config.write_text(json.dumps(fields))
    build(ModelFiles(weights, folder / "tokenizer.json", config, "0" * 64, "0" * 64), made / "model.safetensors")
    return read_model(made / "model.safetensors")


def _with_fields(kind: str, folder: Path) -> Parameters:
    return built_of(folder, *changed(kind))


def _with_tensors(change: Callable[[State], object], folder: Path) -> Parameters:
    fields = small("Llama 2")
    state = random_state(fields)
    change(state)
    return built_of(folder, fields, state)


def _with_more(more: Callable[[gguf.GGUFWriter], object], folder: Path) -> None:
    fields = small("Llama 2")
    write(folder / "m.gguf", fields, random_state(fields), more)
    convert(folder / "m.gguf", folder)


ATTEMPTS: Mapping[str, Callable[[Path], object]] = {
    **{kind: partial(_with_fields, kind) for kind in FIELDS},
    **{kind: partial(_with_tensors, change) for kind, change in TENSORS.items()},
    **{kind: partial(_with_more, more) for kind, more in GGUF.items()},
}
"""By kind: what must be refused, in an empty folder."""


def refused() -> list[str]:
    """The kinds that are refused."""
    found = []
    for kind, attempt in ATTEMPTS.items():
        with tempfile.TemporaryDirectory() as folder:
            try:
                attempt(Path(folder))
            except UnsupportedModel:
                found.append(kind)
    return found
