"""Where the published log is read from: a URL or a folder of the same shape (SPEC section 11)."""

from pathlib import Path
from typing import Protocol

import httpx

from contracts.onchain.history import PostedEpoch
from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.protocol.packed import is_named
from contracts.protocol.trace import is_trace_of, trace_hash_of
from verifier.errors import LogUnavailable, VerifierError, WrongFact, WrongLog
from verifier.sampling.epoch_log import Job

_TIMEOUT_S = 5.0


class LogSource(Protocol):
    """The published log. Nothing it returns is trusted: lines are held against the chain, blobs against their hash."""

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

    def __init__(self, base_url: str) -> None:
        self._base = base_url.rstrip("/")
        self._client = httpx.Client(timeout=_TIMEOUT_S)

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        return _lines(self._get(f"epochs/{epoch_id}.jsonl"))

    def blob(self, blob_hash: str) -> bytes:
        return _require_hash(self._get(f"blobs/{blob_hash}"), blob_hash)

    def _get(self, path: str) -> bytes:
        try:
            answer = self._client.get(f"{self._base}/{path}")
        except httpx.HTTPError as error:
            raise LogUnavailable(what=path, source=self._base, why=str(error) or type(error).__name__) from error
        if answer.status_code != 200:
            raise LogUnavailable(what=path, source=self._base, why=f"status {answer.status_code}")
        return answer.content


class FolderLog:
    """The log in a folder, e.g. a mirror."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        return _lines(self._read(f"epochs/{epoch_id}.jsonl"))

    def blob(self, blob_hash: str) -> bytes:
        return _require_hash(self._read(f"blobs/{blob_hash}"), blob_hash)

    def _read(self, path: str) -> bytes:
        try:
            return (self._folder / path).read_bytes()
        except (OSError, ValueError) as error:
            raise LogUnavailable(what=path, source=str(self._folder), why=str(error)) from error


def claimed_output(source: LogSource, job: Job) -> bytes:
    """What the node says it answered, or nothing where that is not published: it saves work, and decides nothing."""
    try:
        return source.blob(job.commitment.commitment.output_root)
    except VerifierError:
        return b""


def shown_trace(source: LogSource, job: Job) -> bytes:
    """What the node has shown of the job's trace, or nothing where it has not.

    Raises:
        LogUnavailable, WrongLog: the log names it and does not hold it.
        WrongFact: it is not what the node committed to.
    """
    if job.trace is None:
        return b""
    trace = source.blob(job.trace.trace)
    commitment = job.commitment.commitment
    if not is_trace_of(trace, commitment):
        found = trace_hash_of(trace).hex()
        raise WrongFact("the trace shown is the committed one", expected=commitment.trace_commit, found=found)
    return trace


def published_lines(source: LogSource, posted: PostedEpoch) -> list[bytes]:
    """The lines of a posted epoch. An epoch whose logRoot is that of no lines has none, and no file is asked for."""
    return [] if posted.log_root == ZERO32 else source.epoch_lines(posted.epoch_id)


def _lines(data: bytes) -> list[bytes]:
    lines = data.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def _require_hash(data: bytes, blob_hash: str) -> bytes:
    if not is_named(data, blob_hash):
        raise WrongLog(what="a blob's name", expected=blob_hash, found=to_hex(keccak(data)))
    return data
