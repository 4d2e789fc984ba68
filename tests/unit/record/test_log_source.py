"""The published log, from a folder or over HTTP: lines as they are, blobs only if they are what their name says."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.record.errors import LogUnavailable, WrongLog
from contracts.record.history import PostedEpoch
from contracts.record.log_source import FolderLog, HttpLog, LogSource, open_source, published_lines

OpenLog = Callable[[], LogSource]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "epochs").mkdir()
    (tmp_path / "blobs").mkdir()
    return tmp_path


@pytest.fixture
def http_url(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["folder", "http"])
def source(request: pytest.FixtureRequest, folder: Path) -> LogSource:
    """Both adapters owe the same."""
    if request.param == "folder":
        return open_source(str(folder))
    return open_source(request.getfixturevalue("http_url"))


@pytest.mark.parametrize(
    ("content", "lines"), [(b"", []), (b"a\n", [b"a"]), (b"a\nb", [b"a", b"b"]), (b"a\n\nb\n", [b"a", b"", b"b"])]
)
def test_lines_are_split_at_line_feeds_only(
    folder: Path, source: LogSource, content: bytes, lines: list[bytes]
) -> None:
    """An empty line in the middle stays: it would change logRoot, and must not be repaired in silence."""
    (folder / "epochs" / "1.jsonl").write_bytes(content)
    assert source.epoch_lines(1) == lines


def test_a_blob_is_held_against_its_name(folder: Path, source: LogSource) -> None:
    """An altered input never reaches an engine, so that nobody is framed with it. Covers: A12"""
    name = to_hex(keccak(b"input"))
    (folder / "blobs" / name).write_bytes(b"input")
    assert source.blob(name) == b"input"
    (folder / "blobs" / name).write_bytes(b"inpux")
    with pytest.raises(WrongLog):
        source.blob(name)


def test_what_is_missing_is_named(source: LogSource) -> None:
    """A gap in the log names the file."""
    with pytest.raises(LogUnavailable, match=r"epochs/7\.jsonl"):
        source.epoch_lines(7)


def test_a_server_that_is_gone_is_named() -> None:
    """No answer is a gap, never a crash."""
    with pytest.raises(LogUnavailable, match=r"epochs/1\.jsonl"):
        HttpLog("http://127.0.0.1:1").epoch_lines(1)


def test_a_file_without_end_is_left(folder: Path, http_url: str) -> None:
    """Protects whoever reads a log: a server that sends more than any epoch has fills no memory."""
    (folder / "epochs" / "1.jsonl").write_bytes(b"a" * 1001)
    assert len(HttpLog(http_url, most_bytes=1001).epoch_lines(1)) == 1
    with pytest.raises(LogUnavailable, match="more than 1000 bytes"):
        HttpLog(http_url, most_bytes=1000).epoch_lines(1)


def test_an_epoch_without_lines_needs_no_file(folder: Path) -> None:
    """An idle epoch's logRoot says that there is nothing to read."""
    posted = PostedEpoch(4, ZERO32, 0, b"\1" * 32, ZERO32, 9, 1000, b"")
    assert published_lines(FolderLog(folder), posted) == []
