"""Files of strangers that are nearly right: each is read, or refused by an error of ours. Parsers that are not ours run
in the confined process."""

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import gguf
import numpy as np
import pytest
from safetensors.numpy import save_file

from bench.exact.families import random_state as family_state
from bench.exact.families import small
from bench.exact.gguf_files import write as write_gguf
from contracts.protocol.errors import WrongTokenizer
from contracts.protocol.manifest import Manifest
from contracts.protocol.spelling import Spelling
from node_agent.app import resolve_workload
from node_agent.errors import BadSetting
from node_agent.execution.errors import ExecutorFailed, UnsafeModelFormat, UnsupportedModel
from node_agent.execution.model_files import ModelFiles, bound_config_sha256
from node_agent.execution.sandbox import Executor, words
from node_agent.execution.sandbox.messages import Build, Convert
from tests.unit.node_agent.execution.exact.conftest import TINY, random_state
from tests.world import hostile_headers as hostile
from tests.world.manifests import manifest
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.soak import keep_fuzzed, short_or_long

FILES = short_or_long(1_000, 100_000)
SLOW_FILES = short_or_long(200, 100_000)
"""Of formats that are read through the pipe by a library in Python."""

SMALLEST = TINY | {"num_hidden_layers": 1, "max_position_embeddings": 4, "vocab_size": 5}

REFUSED = (UnsafeModelFormat, UnsupportedModel, WrongTokenizer, BadSetting, ExecutorFailed)
FORMATS = "safetensors", "gguf", "tokenizer", "config", "manifest"
MOST_DIED = 1_000
"""One in so many may end the process that reads it (a panic in a library): that is a refusal too, and a slow one."""

pytestmark = [pytest.mark.process, pytest.mark.timeout(short_or_long(300, 20_000))]


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Executor]:
    """A confined process. Its log, which tells of each refusal, is not kept."""
    caplog.set_level(logging.CRITICAL, logger=words.__name__)
    with closing(Executor(tmp_path)) as made:
        yield made


def fuzzed(
    name: str, good: bytes, spoil: Callable[[Random, bytes], bytes], read: Callable[[bytes], object], files: int
) -> None:
    """Reads spoilt files; each is read, or refused with an error of ours."""
    read(good)
    said = Counter[str]()
    for seed in range(files):
        data = spoil(Random(seed), good)
        try:
            read(data)
        except REFUSED as error:
            said[error.code] += 1
        else:
            said["read"] += 1
    assert sum(said.values()) == files
    assert files // 4 < files - said["read"], "the files are too good"
    assert said["executor_failed"] <= max(1, files // MOST_DIED), said
    found = keep_fuzzed(**{f"headers_{name}": files, f"headers_{name}_read": said["read"]})
    keep_fuzzed(headers_fuzzed=min(found.get(f"headers_{each}", 0) for each in FORMATS))


def test_safetensors(executor: Executor, tmp_path: Path) -> None:
    """Protects whoever builds a stranger's model: lengths, shapes, types and places that contradict each other. Our own
    look at the header, outside of the confined process, refuses too. Covers: A48"""
    weights, tokenizer, config, made = (tmp_path / name for name in ("w", "t", "c", "made"))
    made.mkdir()
    tokenizer.write_bytes(b"{}")
    config.write_bytes(b"{}")
    save_file({"a": np.ones((2, 3), np.float32), "b.position_ids": np.arange(3)}, weights, {"config_sha256": "x"})

    def read(data: bytes) -> None:
        weights.write_bytes(data)
        with suppress(UnsafeModelFormat, UnsupportedModel):
            bound_config_sha256(weights)
        executor.make(Convert(files=(weights, tokenizer, config)), made)

    fuzzed("safetensors", weights.read_bytes(), hostile.safetensors, read, FILES)


def test_gguf(executor: Executor, tmp_path: Path) -> None:
    """The same of GGUF: counts, lengths, types and places. Covers: A48"""
    path, made = tmp_path / "m.gguf", tmp_path / "made"
    made.mkdir()
    write_smallest(path)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        executor.make(Convert(files=(path,)), made)

    fuzzed("gguf", path.read_bytes(), hostile.gguf, read, SLOW_FILES)


def test_tokenizers(executor: Executor, tmp_path: Path) -> None:
    """The same of tokenizer.json, read by our own parser outside and by the library inside. Covers: A48"""
    path = tmp_path / "tokenizer.json"
    path.write_bytes(BYTE_TOKENIZER)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        sha256 = hashlib.sha256(data).hexdigest()
        executor.cut(path, sha256, "hello")
        Spelling(data, sha256, "byte_bpe").spell(list(range(300)))

    fuzzed("tokenizer", BYTE_TOKENIZER, hostile.in_json, read, FILES)


def test_configurations(executor: Executor, tmp_path: Path) -> None:
    """The same of config.json: the exact engine's builder takes it with the weights of a good one. Covers: A48"""
    names = "model.safetensors", "tokenizer.json", "config.json"
    weights, tokenizer, config = (tmp_path / name for name in names)
    made = tmp_path / "made"
    made.mkdir()
    save_file(random_state(SMALLEST, 1), weights)
    config.write_text(json.dumps(SMALLEST))

    def read(data: bytes) -> None:
        config.write_bytes(data)
        executor.make(Build(files=ModelFiles(weights, tokenizer, config, "0" * 64, "0" * 64)), made)

    fuzzed("config", config.read_bytes(), hostile.in_json, read, SLOW_FILES)


PLACES = short_or_long(40, 1_000_000)
"""Places of a header that are spoilt, evenly apart: all, in the long form."""
SPOILT: Sequence[Callable[[int], int]] = short_or_long(
    [lambda byte: 255 - byte],
    [lambda byte: 0, lambda byte: 255, lambda byte: byte ^ 1, lambda byte: byte ^ 0x20, lambda byte: byte ^ 0x80],
)
"""What becomes of a byte: no byte stays as it is."""


def every_range(good: bytes, header: int) -> Iterator[bytes]:
    """The file with one byte of its first `header` spoilt, from the first to the last."""
    for place in range(0, header, max(1, header // PLACES)):
        for spoil in SPOILT:
            if spoil(good[place]) != good[place]:
                yield good[:place] + bytes([spoil(good[place])]) + good[place + 1 :]


@pytest.mark.parametrize("name", ["Llama 3.1", "Mistral", "Qwen2.5", "Qwen3"])
@pytest.mark.parametrize("kind", ["gguf", "safetensors", "config"])
def test_every_range_of_a_header(executor: Executor, tmp_path: Path, kind: str, name: str) -> None:
    """Protects whoever builds a stranger's model of any family: wherever its header is spoilt, the file is read or
    refused by one error of ours. Covers: A48"""
    fields = small(name, {"num_hidden_layers": 1, "vocab_size": 8, "max_position_embeddings": 8})
    state = family_state(fields)
    names = [tmp_path / each for each in ("model.safetensors", "tokenizer.json", "config.json")]
    path, made, built = tmp_path / "m.gguf", tmp_path / "made", tmp_path / "built"
    made.mkdir()
    built.mkdir()
    save_file(state, names[0])
    names[1].write_bytes(b"{}")
    names[2].write_text(json.dumps(fields))
    write_gguf(path, fields, state)
    spoilt = {"gguf": path, "safetensors": names[0], "config": names[2]}[kind]
    good, files = spoilt.read_bytes(), (path,) if kind == "gguf" else tuple(names)
    numbers = 4 * sum(values.size for values in state.values())
    said = Counter[str]()
    for data in (good, *every_range(good, len(good) - (0 if kind == "config" else numbers))):
        spoilt.write_bytes(data)
        try:
            executor.make(Convert(files=files), made)
            weights, tokenizer, config = (made / each.name for each in names)
            executor.make(Build(files=ModelFiles(weights, tokenizer, config, "0" * 64, "0" * 64)), built)
        except REFUSED as error:
            said[error.code] += 1
        else:
            said["read"] += 1
    assert said["read"] >= 1, said
    assert said["executor_failed"] <= 1, said
    assert said.total() - said["read"] > said.total() // 3, said


def test_manifests(tmp_path: Path) -> None:
    """The same of manifests, which nodes read from files and from backends."""
    path, good = tmp_path / "manifest.json", manifest().canonical()

    def read(data: bytes) -> None:
        path.write_bytes(data)
        assert isinstance(resolve_workload(str(path), None), Manifest)  # type: ignore[arg-type]

    fuzzed("manifest", good, hostile.in_json, read, FILES)


def write_smallest(path: Path) -> None:
    """A Llama of one layer with four tokens, in GGUF."""
    writer = gguf.GGUFWriter(path, "llama")
    for add, value in (
        (writer.add_block_count, 1), (writer.add_context_length, 8), (writer.add_embedding_length, 4),
        (writer.add_feed_forward_length, 4), (writer.add_head_count, 2), (writer.add_head_count_kv, 1),
        (writer.add_layer_norm_rms_eps, 1e-5), (writer.add_rope_dimension_count, 2), (writer.add_rope_freq_base, 1e4),
        (writer.add_bos_token_id, 1),
        (writer.add_eos_token_id, 2), (writer.add_tokenizer_model, "gpt2"), (writer.add_tokenizer_pre, "smollm"),
        (writer.add_token_list, ["a", "b", "c", "ab"]), (writer.add_token_types, [1, 1, 3, 1]),
        (writer.add_token_merges, ["a b"]),
    ):  # fmt: skip
        add(value)  # type: ignore[operator]
    shapes = {"token_embd": (4, 4), "output_norm": (4,), "blk.0.attn_norm": (4,), "blk.0.ffn_norm": (4,)}
    shapes |= {f"blk.0.{name}": (4, 4) for name in ("attn_q", "attn_output", "ffn_gate", "ffn_up", "ffn_down")}
    for name, shape in (shapes | {"blk.0.attn_k": (2, 4), "blk.0.attn_v": (2, 4)}).items():
        writer.add_tensor(f"{name}.weight", np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
