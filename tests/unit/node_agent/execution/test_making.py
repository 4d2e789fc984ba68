"""Model files are made by a confined process: what it says is written here, within bounds, and nothing else of it."""

import errno
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from node_agent.execution.errors import ExecutorFailed, UnsafeModelFormat
from node_agent.execution.model_files import CONFIG, TOKENIZER, WEIGHTS, sha256_file
from node_agent.execution.sandbox import Executor, client, making
from node_agent.execution.sandbox.frames import BadFrame
from node_agent.execution.sandbox.making import BlocksToFiles, make, piped_folder
from node_agent.execution.sandbox.messages import Convert
from node_agent.models import ModelStore

SAYS_BLOCKS = """
import json, os, struct, sys

HEADER = struct.Struct("<BQI")

def say(kind, call, said):
    data = HEADER.pack(kind, call, len(said)) + said
    while data:
        data = data[os.write(1, data):]

while header := os.read(0, HEADER.size):
    kind, call, length = HEADER.unpack(header)
    os.read(0, length)
    if kind == 16:
        say(1, call, b'{"landlock":1,"namespaces":""}')
    else:
        exec(sys.argv[1])
"""


@pytest.fixture
def published(tmp_path: Path) -> Convert:
    """A model of one tensor, as it is published."""
    save_file({"a": np.arange(6, dtype=np.float32).reshape(2, 3)}, tmp_path / "w")
    (tmp_path / "t").write_bytes(b"{}")
    (tmp_path / "c").write_bytes(b'{"model_type":"llama"}')
    return Convert(files=(tmp_path / "w", tmp_path / "t", tmp_path / "c"))


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Executor]:
    with closing(Executor(tmp_path)) as made:
        yield made


@pytest.mark.process
def test_the_same_files_come_through_the_pipe(
    executor: Executor, published: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the digests that are pinned: not a byte is another than without the confined process; and this process
    reads none of a stranger's files by another's library. Covers: A48"""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    make(published, here)
    monkeypatch.setattr("node_agent.execution.safetensors_import.safe_open", None)
    executor.make(published, there)
    for name in (WEIGHTS, TOKENIZER, CONFIG):
        assert sha256_file(here / name) == sha256_file(there / name)


@pytest.mark.process
def test_the_store_converts_in_it(tmp_path: Path, published: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a host that builds a stranger's model: its files are read there, a broken one is refused in words."""
    monkeypatch.setattr(making, "make", None)
    folder = tmp_path / "theirs"
    folder.mkdir()
    for path, name in zip(published.files, (WEIGHTS, TOKENIZER, CONFIG), strict=True):
        (folder / name).write_bytes(path.read_bytes())
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(UnsafeModelFormat, match="cannot be read"):
        ModelStore(tmp_path / "store", sources={}).build_exact(str(folder), "mine")
    assert not [path for path in (tmp_path / "store").iterdir() if path.is_dir()]


@pytest.mark.parametrize(
    "code",
    [
        "say(7, call, b'')",
        "say(7, call, b'\\x04more')",
        "while True: say(7, call, bytes(1 << 20))",
        "say(7, call + 1, b'\\0more')",
    ],
    ids=["no file", "another file", "endless", "of another call"],
)
def test_blocks_are_bounded(
    executor: Executor, published: Convert, tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects this host's disk from a process that was taken over: only the model's files, only so many bytes.
    Covers: A69"""
    monkeypatch.setattr(client, "_PROGRAM", [sys.executable, "-c", SAYS_BLOCKS, code])
    folder = tmp_path / "made"
    folder.mkdir()
    with pytest.raises(ExecutorFailed, match="sent a frame that"):
        executor.make(published, folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 65 << 20


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects an operator: what this host cannot write is its own error, not the model's."""

    def full(self: BlocksToFiles, place: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(BlocksToFiles, "_open", full)
    with BlocksToFiles(tmp_path, 100) as blocks:
        blocks.take(b"\0abc")
        assert blocks.error is not None
        with pytest.raises(BadFrame, match="beyond all bounds"):
            blocks.take(b"\0" + bytes(100))


def test_a_piped_folder_says_what_is_written(tmp_path: Path, published: Convert) -> None:
    """Blocks in their order are the files."""
    said: list[bytes] = []
    make(published, piped_folder(said.append))
    with BlocksToFiles(tmp_path, 1 << 20) as blocks:
        for block in said:
            blocks.take(block)
    direct = tmp_path / "direct"
    direct.mkdir()
    make(published, direct)
    for name in (WEIGHTS, TOKENIZER, CONFIG):
        assert (tmp_path / name).read_bytes() == (direct / name).read_bytes()


def test_the_same_files_need_no_other_process(executor: Executor, tmp_path: Path) -> None:
    """Protects a backend's answers from a process that starts anew for each text: what is known is asked for again in
    any order."""
    paths = [tmp_path / str(number) for number in range(40)]
    executor._needs = executor._needs_and(*paths)
    for turn in range(40):
        assert executor._needs_and(*paths[turn:], *paths[:turn]) == executor._needs
