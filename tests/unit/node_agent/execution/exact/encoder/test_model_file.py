"""An encoder's file: one digest decides the arithmetic, and no file can break its bounds."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.build import build_from
from node_agent.execution.exact.container import write_model
from node_agent.execution.exact.encoder.model_file import EncoderParameters, read_encoder
from node_agent.execution.exact.llama.model_file import read_model
from node_agent.execution.model_files import ModelFiles, sha256_file
from node_agent.execution.sandbox.making import make
from node_agent.execution.sandbox.messages import Build, Convert
from node_agent.models import ModelStore
from tests.unit.node_agent.execution.exact.conftest import TINY_ENCODER, random_encoder_state
from tests.unit.node_agent.execution.exact.encoder.test_model import tensors

PINNED = "34ac0efdd67f419778613e11240086697a890fb1079f781f35122614f1fa6cb7"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A tiny encoder's file."""
    state = random_encoder_state(TINY_ENCODER, 1)
    build_from(TINY_ENCODER, state.__getitem__, "0" * 64, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_the_same_model_gives_the_same_bytes(path: Path) -> None:
    """The digest is pinned: a builder that changes a bit would give every host another model."""
    assert sha256_file(path) == PINNED
    assert read_encoder(path).config.query_bits == 10


def test_numbers_stand_for_the_models(path: Path) -> None:
    """Rows, biases, gains and positions are where the page says, with the fractions that it says."""
    state, found = random_encoder_state(TINY_ENCODER, 1), read_encoder(path)
    layer, prefix = found.layers[1], "encoder.layer.1."
    scale = np.log2(np.e) / found.config.head_dim**0.5
    parts = [state[f"{prefix}attention.self.{name}.bias"] for name in ("query", "key", "value")]
    bias = np.concatenate([parts[0] * scale, *parts[1:]]) * 2**a.HEAD_FRACTION
    assert np.abs(layer.qkv.bias - bias).max() < 0.51
    weight = layer.qkv.weight * layer.qkv.multiplier[:, None] * 2.0**-layer.qkv.exponent
    theirs = state[f"{prefix}attention.self.query.weight"] * scale
    assert np.abs(weight[:24] - theirs).max() < np.abs(theirs).max() / 200
    assert np.abs(layer.down.bias - state[f"{prefix}output.dense.bias"] * 2**20).max() < 0.51
    gain = state[f"{prefix}output.LayerNorm.weight"] * 24**0.5 * 2**a.GAIN_FRACTION
    assert np.abs(layer.out_norm.gain - gain).max() < 0.51
    places = state["embeddings.position_embeddings.weight"] + state["embeddings.token_type_embeddings.weight"][0]
    assert np.abs(found.position - places * 2.0**20).max() < 1


def test_numbers_out_of_range_are_refused(path: Path, tmp_path: Path) -> None:
    """What the bounds of SPEC_ENCODER.md do not cover is not computed."""
    good = read_encoder(path)
    for name, value in {
        "layers.0.down.weight": -128,
        "layers.1.qkv.bias": 2**30,
        "layers.1.out_norm.gain": -(2**30),
        "embedding_norm.bias": 2**30,
        "position": 2**30,
        "embedding.exponent": 23,
        "table.normal": 2**24 + 1,
        "table.exp2": 0,
    }.items():
        made = tensors(good)
        made[name] = made[name].copy()
        made[name].flat[0] = value
        write_model(tmp_path / "bad", good.config, made.__getitem__)
        with pytest.raises(UnsupportedModel, match=name):
            read_encoder(tmp_path / "bad")


def test_a_family_is_not_read_as_another(path: Path) -> None:
    """An encoder's file is no Llama's."""
    with pytest.raises(UnsupportedModel, match="assay/exact-encoder/1"):
        read_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"num_attention_heads": 5},
        {"num_attention_heads": 8},  # three wide
        {"hidden_size": 600, "num_attention_heads": 2},
        {"query_bits": 11},
        {"epsilon": 0},
        {"positions": 2**15 + 1},
        {"intermediate_size": 2**16},
    ],
)
def test_senseless_sizes_are_refused(tiny_encoder: EncoderParameters, change: dict[str, int]) -> None:
    """A configuration outside of the limits."""
    with pytest.raises(UnsupportedModel):
        replace(tiny_encoder.config, **change)


@pytest.mark.parametrize(
    "change", [{"hidden_act": "relu"}, {"position_embedding_type": "relative_key"}, {"layer_norm_eps": 1e9}]
)
def test_other_models_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """What the page does not cover is refused, not approximated."""
    with pytest.raises(UnsupportedModel):
        build_from(TINY_ENCODER | change, lambda name: np.zeros((1, 1), np.float32), "0" * 64, tmp_path / "model")


@pytest.mark.parametrize("name", ["embeddings.LayerNorm.bias", "encoder.layer.0.output.dense.bias"])
def test_senseless_numbers_are_refused(tmp_path: Path, name: str) -> None:
    """NaN and infinity, which no integer stands for."""
    state = random_encoder_state(TINY_ENCODER, 1)
    state[name][3] = np.inf
    with pytest.raises(UnsupportedModel, match="infinity"):
        build_from(TINY_ENCODER, state.__getitem__, "0" * 64, tmp_path / "model")


def test_the_store_builds_it_from_a_folder(tmp_path: Path) -> None:
    """`assay models build` takes a BERT as published: the family is read from config.json, integer buffers left out."""
    state, folder = random_encoder_state(TINY_ENCODER, 1), tmp_path / "published"
    folder.mkdir()
    save_file(state | {"embeddings.position_ids": np.arange(64)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(TINY_ENCODER))
    (folder / "tokenizer.json").write_text("{}")
    files = ModelStore(tmp_path / "store", sources={}).build_exact(str(folder), "mine")
    assert ModelStore(tmp_path / "store", sources={}).load("mine") == files
    built, direct = read_encoder(files.weights), tmp_path / "direct"
    build_from(TINY_ENCODER, state.__getitem__, built.config.source_sha256, direct)
    assert sha256_file(direct) == files.weights_sha256
    (folder / "config.json").write_text(json.dumps(TINY_ENCODER | {"model_type": "gpt2"}))
    with pytest.raises(UnsupportedModel, match="gpt2"):
        ModelStore(tmp_path / "store", sources={}).build_exact(str(folder), "other")


@pytest.mark.parametrize(
    ("tensors", "fields", "told"),
    [
        ({"embeddings.more": np.ones(3, np.float32)}, {}, "embeddings.more"),
        ({}, {"num_hidden_layers": 1}, r"encoder\.layer\.1"),
        ({"window": np.ones(3, np.int64)}, {}, "window"),
        ({}, {"num_hidden_layers": 1_000_000}, "num_hidden_layers = 1000000"),
    ],
    ids=["one more", "cut layers", "a buffer", "a million layers"],
)
def test_no_tensor_is_left_out(
    tmp_path: Path, tensors: dict[str, np.ndarray], fields: dict[str, int], told: str
) -> None:
    """Protects whoever offers a model from another one under its name: what its file holds is computed, or refused by
    name. Covers: A70"""
    state = random_encoder_state(TINY_ENCODER, 1)
    save_file(state | tensors, tmp_path / "weights")
    (tmp_path / "config.json").write_text(json.dumps(TINY_ENCODER | fields))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UnsupportedModel, match=told):
        imported_and_built(tmp_path)


def imported_and_built(folder: Path) -> None:
    names = "model.safetensors", "tokenizer.json", "config.json"
    origin = folder / "origin"
    origin.mkdir()
    make(Convert(files=(folder / "weights", *(folder / name for name in names[1:]))), origin)
    make(Build(files=ModelFiles(*(origin / name for name in names), "0" * 64, "0" * 64)), folder)
