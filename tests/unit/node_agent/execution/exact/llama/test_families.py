"""Llama, Mistral, Qwen2 and Qwen3: what transformers computes, and no file is built as another model."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from bench.exact import refusals
from bench.exact.families import (
    CASES,
    agreement,
    built,
    exact_logits,
    fields_of,
    float_logits,
    random_state,
    small,
    tokens_of,
)
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact.llama.build import MOST_BALANCED, balance
from node_agent.execution.exact.llama.families import read_published
from node_agent.execution.exact.llama.model_file import read_model
from node_agent.models import ModelStore
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.soak import short_or_long

SHORT: dict[str, Any] = {
    "vocab_size": 1_000, "intermediate_size": 300, "hidden_size": 128, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128,
}  # fmt: skip
CHOICES, CORRELATION = 0.98, 0.9995
POSITIONS = short_or_long(120, 500)

OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "without its window": ("Mistral", {"sliding_window": None}),
    "with a wider window": ("Mistral", {"sliding_window": 80}),
    "without biases": ("Qwen2.5", {"model_type": "llama"}),
    "without norms of heads": ("Qwen3", {"model_type": "llama"}),
    "without scaling": ("Llama 3.1", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
    "without YaRN": ("Qwen2.5, YaRN", {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}),
    "with another theta": ("Llama 2", {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}),
}
"""Each family as another one: by the same weights, and another config.json."""


def short(name: str, **changes: object) -> dict[str, Any]:
    """A case in a few sizes of its own: the head's width, rotary scaling, what its layers have."""
    return fields_of(name, **SHORT) | changes


def found(theirs: dict[str, Any], mine: dict[str, Any]) -> dict[str, float]:
    """How far transformers with one config.json and the exact engine with another agree, by the same tensors."""
    state, tokens = random_state(theirs), tokens_of(theirs, 1, POSITIONS)
    return agreement(exact_logits(built(mine, state), tokens), float_logits(theirs, state, tokens))


@pytest.mark.parametrize("name", CASES)
def test_each_family_is_what_transformers_computes(name: str) -> None:
    """Weights on the int8 grid, four layers: the same choice nearly always, and nearly the same logits. The bench
    measures the bars, with real vocabularies."""
    each = found(short(name), short(name))
    assert each["same_choice"] >= CHOICES, each
    assert each["correlation"] >= CORRELATION, each


@pytest.mark.parametrize("other", OTHERS)
def test_a_family_computed_as_another_is_seen(other: str) -> None:
    """The comparison bites: what a family adds, left out, falls below both bars."""
    name, changes = OTHERS[other]
    each = found(short(name), short(name, **changes))
    assert each["same_choice"] < CHOICES, each
    assert each["correlation"] < CORRELATION, each


@pytest.mark.parametrize(("name", "ending", "size"), [("Qwen2.5", "k_proj.bias", 300), ("Qwen3", "k_norm.weight", 30)])
def test_keys_of_hundreds_leave_bits_to_the_others(name: str, ending: str, size: int) -> None:
    """Keys of trained Qwens are hundreds in a few dimensions, by their biases or gains. Queries take half of it, so
    that the exact engine is nearer to fp32 than bf16 is, in which such models are run."""
    fields = short(name)
    state, tokens = random_state(fields), tokens_of(fields, 1, POSITIONS)
    for each in (each for each in state if each.endswith(ending)):
        state[each][[5, 20, 50]] = size
    theirs = float_logits(fields, state, tokens)
    mine, halves = exact_logits(built(fields, state), tokens), float_logits(fields, state, tokens, torch.bfloat16)
    assert agreement(mine, theirs)["correlation"] > agreement(halves, theirs)["correlation"]


@given(queries=st.integers(1, 3), keys=st.integers(1, 3), pairs=st.integers(1, 9), seed=st.integers(0, 2**32))
def test_balancing_changes_no_score(queries: int, keys: int, pairs: int, seed: int) -> None:
    """Both dimensions of a pair, of a key and of each of its queries, are shifted by one exponent, back and forth."""
    random = np.random.default_rng(seed)
    q, k = (10.0 ** random.uniform(-4, 4, (rows, 2 * pairs)) for rows in (queries * keys, keys))
    factor = 2.0 ** np.tile(balance(q, k), 2)
    of_queries = np.repeat(factor, queries, axis=0) * q
    for at, key in enumerate(k / factor):
        mine, plain = of_queries[at * queries : (at + 1) * queries], q[at * queries : (at + 1) * queries]
        assert (mine * key == plain * k[at]).all()
    assert np.abs(np.log2(factor)).max() <= MOST_BALANCED


@pytest.mark.parametrize("kind", refusals.ATTEMPTS)
def test_another_model_is_refused(kind: str, tmp_path: Path) -> None:
    """Protects whoever offers a model from another one under its name: each field of config.json or GGUF that changes
    the computation is computed or refused, and each tensor is read or refused; GGUF by its name. Covers: A70"""
    with pytest.raises(UnsupportedModel, match=kind if kind in refusals.GGUF else None):
        refusals.ATTEMPTS[kind](tmp_path)


@pytest.mark.parametrize("name", CASES)
def test_the_models_that_those_are_nearly_are_built(name: str, tmp_path: Path) -> None:
    """The refusals above are of what was changed."""
    fields = small(name)
    config = refusals.built_of(tmp_path, fields, random_state(fields)).config
    assert config.window == fields.get("sliding_window", 0) * (fields.get("sliding_window", 0) < config.positions)
    assert config.qkv_bias is (fields["model_type"] == "qwen2")
    assert bool(config.head_epsilon) is (fields["model_type"] == "qwen3")


def test_what_follows_from_the_rest_may_be_there(tmp_path: Path) -> None:
    """Older files hold inverse frequencies, others a tied output matrix a second time: equal, they tell nothing new."""
    fields = small("SmolLM2")
    state = random_state(fields)
    for layer in range(2):
        frequencies = (1e5 ** (-np.arange(0, 8, 2) / 8)).astype(np.float16).astype(np.float32)
        state[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = frequencies
    state["lm_head.weight"] = state["model.embed_tokens.weight"].copy()
    refusals.built_of(tmp_path, fields, state)


@pytest.mark.process
@pytest.mark.parametrize("name", ["Mistral", "Qwen2.5", "Qwen3"])
def test_the_store_builds_a_family_as_it_is_published(name: str, tmp_path: Path) -> None:
    """`assay models build` takes a folder as on Hugging Face, in the confined process: bf16, cut into two files, with a
    config.json that transformers wrote. It is the model of the same numbers in fp32."""
    from transformers import AutoConfig

    folder, fields = tmp_path / "published", small(name)
    AutoConfig.for_model(**fields).save_pretrained(folder)
    halves = {each: torch.from_numpy(values).to(torch.bfloat16) for each, values in random_state(fields).items()}
    index = {each: f"model-0000{at % 2 + 1}-of-00002.safetensors" for at, each in enumerate(halves)}
    for file in set(index.values()):
        save_file({each: halves[each] for each in halves if index[each] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "tokenizer.json").write_bytes(BYTE_TOKENIZER)
    files = ModelStore(tmp_path / "store", sources={}).build_exact(str(folder), "mine")
    mine = read_model(files.weights)
    wide = {each: values.to(torch.float32).numpy() for each, values in halves.items()}
    theirs = built(fields, wide)
    tokens = tokens_of(fields, 1, 20)
    assert replace(mine.config, source_sha256="0" * 64) == theirs.config
    assert (exact_logits(mine, tokens) == exact_logits(theirs, tokens)).all()


PUBLISHED: dict[str, dict[str, Any]] = {
    "SmolLM2-135M-Instruct": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
        "intermediate_size": 1536, "is_llama_config": True, "max_position_embeddings": 8192, "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3,
        "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False,
        "rope_scaling": None, "rope_theta": 100000, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}}, "transformers_version": "4.42.3",
        "use_cache": True, "vocab_size": 49152,
    },
    "Llama-2-7b": {
        "_name_or_path": "meta-llama/Llama-2-7b-hf", "architectures": ["LlamaForCausalLM"], "bos_token_id": 1,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "llama", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": None, "tie_word_embeddings": False, "torch_dtype": "float16",
        "transformers_version": "4.31.0.dev0", "use_cache": True, "vocab_size": 32000,
    },
    "Llama-3.1-8B": {
        "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096,
        "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": False,
        "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": {
            "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        }, "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "transformers_version": "4.43.0", "use_cache": True, "vocab_size": 128256,
    },
    "Mistral-7B-v0.1": {
        "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768,
        "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": False,
        "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0", "use_cache": True, "vocab_size": 32000,
    },
    "Qwen2.5-0.5B-Instruct": {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02,
        "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2",
        "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.43.1", "use_cache": True, "use_sliding_window": False, "vocab_size": 151936,
    },
    "Qwen3-0.6B": {
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
        "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960,
        "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0", "use_cache": True, "use_sliding_window": False, "vocab_size": 151936,
    },
}  # fmt: skip
"""config.json as it is published."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_are_read(name: str) -> None:
    """What people run is not refused for a field that tells nothing."""
    fields = PUBLISHED[name]
    found = read_published(fields)
    assert found.head_dim == (64 if name.startswith(("SmolLM2", "Qwen2.5")) else 128)
    assert found.window == (4096 if fields["model_type"] == "mistral" else None)


@pytest.mark.parametrize("name", CASES)
def test_what_transformers_writes_is_read(name: str, tmp_path: Path) -> None:
    """A config.json that transformers saves, with all that it adds, means the same as what it was made from."""
    from transformers import AutoConfig

    fields = short(name)
    AutoConfig.for_model(**fields).save_pretrained(tmp_path)
    assert read_published(json.loads((tmp_path / "config.json").read_text())) == read_published(fields)
