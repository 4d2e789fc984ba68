"""Reads the published log from a URL or from a folder of the same layout (SPEC section 11)."""

from pathlib import Path
from typing import Protocol

import httpx

from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.protocol.packed import is_named
from contracts.protocol.records import Commitment
from contracts.protocol.trace import is_trace_of, trace_hash_of
from contracts.record.errors import LogUnavailable, RecordError, WrongFact, WrongLog
from contracts.record.history import PostedEpoch

_TIMEOUT_S = 5.0
_MOST_BYTES = 1 << 28
"""More than any epoch's file or blob has: guards against a server that never stops sending."""


class LogSource(Protocol):
    """The published log. Nothing it returns is trusted: lines are checked against the chain, blobs by their hash."""

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        """The lines of an epoch's file. Raises LogUnavailable."""
        ...

    def blob(self, blob_hash: str) -> bytes:
        """The bytes with this keccak256 (0x hex). Raises LogUnavailable, or WrongLog for other bytes."""
        ...


def open_source(url_or_folder: str) -> LogSource:
    """The source behind a base URL (http, https) or a folder."""
    if url_or_folder.startswith(("http://", "https://")):
        return HttpLog(url_or_folder)
    return FolderLog(Path(url_or_folder))


class HttpLog:
    """The log under a base URL, e.g. `{backend}/v1/log`."""

    def __init__(self, base_url: str, *, most_bytes: int = _MOST_BYTES) -> None:
        self._base, self._most_bytes = base_url.rstrip("/"), most_bytes
        self._client = httpx.Client(timeout=_TIMEOUT_S)

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        return split_lines(self._get(f"epochs/{epoch_id}.jsonl"))

    def blob(self, blob_hash: str) -> bytes:
        return _require_hash(self._get(f"blobs/{blob_hash}"), blob_hash)

    def _get(self, path: str) -> bytes:
        try:
            with self._client.stream("GET", f"{self._base}/{path}") as answer:
                if answer.status_code != 200:
                    raise LogUnavailable(what=path, source=self._base, why=f"status {answer.status_code}")
                return self._body(path, answer)
        except httpx.HTTPError as error:
            raise LogUnavailable(what=path, source=self._base, why=str(error) or type(error).__name__) from error

    def _body(self, path: str, answer: httpx.Response) -> bytes:
        body = bytearray()
        for part in answer.iter_bytes():
            body += part
            if len(body) > self._most_bytes:
                raise LogUnavailable(what=path, source=self._base, why=f"it sends more than {self._most_bytes} bytes")
        return bytes(body)


class FolderLog:
    """The log in a folder, e.g. a mirror."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        return split_lines(self._read(f"epochs/{epoch_id}.jsonl"))

    def blob(self, blob_hash: str) -> bytes:
        return _require_hash(self._read(f"blobs/{blob_hash}"), blob_hash)

    def _read(self, path: str) -> bytes:
        try:
            return (self._folder / path).read_bytes()
        except (OSError, ValueError) as error:
            raise LogUnavailable(what=path, source=str(self._folder), why=str(error)) from error


def claimed_output(source: LogSource, commitment: Commitment) -> bytes:
    """The node's output, or nothing if it is not published. It saves work and decides nothing."""
    try:
        return source.blob(commitment.output_root)
    except RecordError:
        return b""


def shown_trace(source: LogSource, commitment: Commitment, name: str | None) -> bytes:
    """A job's trace as its node has shown it. `name`: the blob that the log names; None: nothing was shown.

    Raises LogUnavailable or WrongLog if the named blob is missing or wrong, WrongFact for a trace not committed to.
    """
    return b"" if name is None else require_trace(source.blob(name), commitment)


def require_trace(trace: bytes, commitment: Commitment) -> bytes:
    """The trace, if the commitment binds it. Raises WrongFact."""
    if not is_trace_of(trace, commitment):
        found = trace_hash_of(trace).hex()
        raise WrongFact("the trace shown is the committed one", expected=commitment.trace_commit, found=found)
    return trace


def published_lines(source: LogSource, posted: PostedEpoch) -> list[bytes]:
    """The lines of a posted epoch. Reads no file if its logRoot is that of no lines."""
    return [] if posted.log_root == ZERO32 else source.epoch_lines(posted.epoch_id)


def split_lines(data: bytes) -> list[bytes]:
    """The lines of an epoch's file by the one rule for everybody (vectors: `contracts/vectors/log_lines.json`).

    A line ends at a line feed and nowhere else; the last one may lack it. Carriage returns and empty lines count: both
    change logRoot, so nothing is repaired silently.
    """
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def _require_hash(data: bytes, blob_hash: str) -> bytes:
    if not is_named(data, blob_hash):
        raise WrongLog(what="a blob's name", expected=blob_hash, found=to_hex(keccak(data)))
    return data
