"""The side that holds the keys: starts the confined process, and calls the engines in it as if they were here."""

import json
import logging
import os
import subprocess
import sys
import threading
import weakref
from base64 import b64decode, b64encode
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from contracts.protocol.manifest import Manifest
from node_agent.devices.probe import choose
from node_agent.execution import errors, kinds
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.execution.errors import ExecutionError, ExecutorFailed
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox.launch import launch
from node_agent.execution.sandbox.needs import Needs
from node_agent.execution.sandbox.shared_lock import SharedLock
from node_agent.execution.sandbox.speeds import Speeds

log = logging.getLogger(__name__)

CALL_TIMEOUT_S = 900.0
"""Longer than any job that is allowed; what takes longer hangs."""

_END_S = 1.0
"""How long a process that closed its pipes may take to end, and to say why."""

_ANSWER_BYTES = 4 << 20
"""The longest answer: an output has at most 64 KiB."""

_PROGRAM = [sys.executable, "-P", "-m", "node_agent.execution.sandbox.executor"]


@dataclass(frozen=True)
class _Loaded:
    """What has to be loaded again into a new process."""

    manifest: Manifest
    files: ModelFiles
    device: str

    def request(self, known: Speed | None) -> dict[str, Any]:
        """What asks for it."""
        files = {name: str(value) for name, value in vars(self.files).items()}
        load = {"load": self.manifest.model_dump(mode="json"), "files": files, "device": self.device}
        return {**load, "known": None if known is None else asdict(known)}


class Executor:
    """The confined process of a host. A process that dies or hangs is replaced at the next call.

    Several threads may call its engines at once: what an engine can batch is answered together, the rest in turn. If
    the process ends with several calls under way, nobody knows whose input ended it: each of them is tried once more,
    alone, while all others wait. One that was alone fails.

    Args:
        readable: what it may read besides its own program: the model store. What was measured is kept there too.
    """

    def __init__(self, readable: Path) -> None:
        self._readable = readable.expanduser().resolve()
        self._speeds = Speeds(self._readable)
        self._loaded: list[_Loaded] = []
        self._needs = Needs()
        self._process: _Process | None = None
        self._lock = threading.Lock()
        self._calls = SharedLock()
        self._closed = threading.Event()

    def start(self) -> None:
        """Starts the process, if it does not run. Raises SandboxUnavailable where this kernel cannot confine it."""
        self._running()

    def load(self, files: ModelFiles, manifest: Manifest, device: str | None = None) -> Engine:
        """The engine of a workload, in the process. Waits for the calls under way.

        Args:
            device: "cpu", "cuda" or "cuda:N"; the first GPU if an NVIDIA driver answers, else the CPU, if not given.

        Raises what `kinds.load` and `probe.choose` do, SandboxUnavailable and ExecutorFailed.
        """
        where = choose(device)
        needs_torch = where != "cpu" or kinds.find(manifest.kind).needs_torch
        if needs_torch:
            kinds.require_torch(f"{manifest.kind} on {where}")
        wanted = _Loaded(manifest, files, where)
        with self._calls.exclusive():
            needs = self._needs.grown(files, torch=needs_torch, gpu=where != "cpu")
            if needs != self._needs:  # given before a process is confined, so the next one has them
                self._needs = needs
                with self._lock:
                    self._end()
            said = self._running().ask(self._request(wanted))
            self._loaded.append(wanted)
        return self._engine(said, wanted)

    def _request(self, wanted: _Loaded) -> dict[str, Any]:
        return wanted.request(self._speeds.known(wanted.device, wanted.files.weights_sha256))

    def _engine(self, said: Mapping[str, Any], wanted: _Loaded) -> "_Remote":
        try:
            speed = None if said["speed"] is None else Speed(**said["speed"])
            about = str(said["name"]), str(said["version"]), said["check"], said["concurrent"] is True
            remote = _Remote(self, said["engine"], *about, said["numeric_class"], speed)
        except (KeyError, TypeError, ValueError) as error:
            raise _babble(error) from error
        if speed is not None:
            self._speeds.keep(wanted.device, wanted.files.weights_sha256, speed)
        return remote

    def call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One request, answered.

        Raises ExecutionError; ExecutorFailed where the process died, hung or babbled over this one, or was closed.
        """
        try:
            with self._calls.shared():
                return self._running().ask(request)
        except _CauseUnknown as error:
            log.warning("%s A job that was under way is tried again, alone.", error.message)
        with self._calls.exclusive():
            return self._running().ask(request)

    def close(self) -> None:
        """Ends the process for good: calls under way fail, and so do later ones."""
        self._closed.set()
        with self._lock:
            self._end()

    def _running(self) -> "_Process":
        with self._lock:
            if self._closed.is_set():
                raise ExecutorFailed(
                    "The process that runs jobs was ended on purpose.", way_out="Start this program again."
                )
            if self._process is None or self._process.is_over:
                self._end()
                self._process = self._started()
            return self._process

    def _started(self) -> "_Process":
        needs = self._needs
        process = _Process(needs)
        try:
            process.ask({"models": [str(each) for each in needs.models], "torch": needs.torch, "gpu": needs.gpu})
            for number, wanted in enumerate(self._loaded):
                if process.ask(self._request(wanted))["engine"] != number:
                    raise _failed("loaded its engines in another order", process.end())
        except BaseException:
            process.end()  # one that is not confined, or lacks an engine, is never asked again
            raise
        self._at_the_end = weakref.finalize(self, _end_for_good, self._closed, process)
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._at_the_end.detach()
            process.end()


class _CauseUnknown(ExecutorFailed):
    """Thrown where a process ended and the call need not be why: others were under way too, or it came too late."""


def _end_for_good(closed: threading.Event, process: "_Process") -> None:
    closed.set()
    process.end()


class _Process:
    """One confined process, and the calls that it has not answered yet: it may answer them in any order.

    A thread reads its answers. When it ends, or says what is no answer, every call that waits fails.
    """

    def __init__(self, needs: Needs) -> None:
        self._popen = launch(_PROGRAM, needs)
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._numbers = count()
        self._how: str | None = None
        self._hung = False
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._reader = threading.Thread(target=self._read, name="executor", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    @property
    def is_over(self) -> bool:
        """Whether it can answer nothing any more."""
        return self._how is not None or self._popen.poll() is not None

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a request and waits for its answer.

        Raises ExecutionError; ExecutorFailed where the process died, hung or babbled; _CauseUnknown.
        """
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            number, how = next(self._numbers), self._how
            if how is None:
                self._waiting[number] = answer
        if how is not None:
            raise _failed(how, self.end(), _CauseUnknown)
        with suppress(OSError):  # it ended: the reader sees that too, and says so
            self._write(json.dumps({"id": number, **request}).encode() + b"\n")
        try:
            said = answer.result(CALL_TIMEOUT_S)
        except TimeoutError:
            self._hung = True
            self._popen.kill()
            said = answer.result()  # the reader sees that it ended, and says so to all who wait
        if "error" in said:
            raise _error_of(said)
        return said

    def end(self) -> int:
        """Closes its stdin, which ends a process that is well, and waits; its exit status."""
        assert self._popen.stdin is not None
        if not self._writing.acquire(timeout=_END_S):
            self._popen.kill()  # who writes to it is held up by it
            self._writing.acquire()
        self._popen.stdin.close()
        self._writing.release()
        try:
            code = self._popen.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait()
        if threading.current_thread() is not self._reader:
            self._reader.join()
        return code

    def _write(self, line: bytes) -> None:
        assert self._popen.stdin is not None
        with self._writing:
            if self._popen.stdin.closed:
                return
            while line:
                line = line[os.write(self._popen.stdin.fileno(), line) :]

    def _read(self) -> None:
        assert self._popen.stdout is not None
        how = None
        with self._popen.stdout as answers:
            while how is None:
                line = answers.readline(_ANSWER_BYTES)
                how = self._hand_out(line) if line else "hung" if self._hung else "ended"
            code = self.end()
        with self._lock:
            self._how = how
            waiting, self._waiting = self._waiting, {}
        kind = ExecutorFailed if len(waiting) == 1 else _CauseUnknown
        for call in waiting.values():
            call.set_exception(_failed(how, code, kind))

    def _hand_out(self, line: bytes) -> str | None:
        """Gives an answer to the call that waits for it, or returns what is wrong with it."""
        try:
            said = json.loads(line)
        except ValueError:
            return "answered with what is no JSON, or too much of it"
        if not isinstance(said, dict):
            return "answered with what is no object"
        number = said.pop("id", None)
        with self._lock:
            call = self._waiting.pop(number, None) if isinstance(number, int) else None
        if call is None:
            return "answered what it was not asked"
        call.set_result(said)
        return None


def _failed(how: str, code: int, kind: type[ExecutorFailed] = ExecutorFailed) -> ExecutorFailed:
    return kind(
        f"The process that runs jobs {how} (exit status {code}).",
        way_out="Its last words are in this program's log: did memory run out? The next job gets a new one.",
        status=code,
    )


@dataclass(frozen=True)
class _Remote(Engine):
    """An engine in the confined process; see `engine.Engine`."""

    executor: Executor
    number: int
    name: str
    version: str
    check: Check
    concurrent: bool
    numeric_class: str | None
    speed: Speed | None

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        return self._run(input_bytes, params, None)

    def recheck(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> Execution:
        return self._run(input_bytes, params, claimed)

    def observe(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> bytes:
        said = self._ask(input_bytes, params, claimed, observe=True)
        try:
            return b64decode(said["observation"])
        except (KeyError, TypeError, ValueError) as error:
            raise _babble(error) from error

    def _ask(
        self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes | None, *, observe: bool = False
    ) -> dict[str, Any]:
        return self.executor.call(
            {
                "engine": self.number,
                "input": b64encode(input_bytes).decode(),
                "params": dict(params),
                "claimed": None if claimed is None else b64encode(claimed).decode(),
                "observe": observe,
            }
        )

    def _run(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes | None) -> Execution:
        said = self._ask(input_bytes, params, claimed)
        try:
            trace_hash, trace = bytes.fromhex(said["trace_hash"]), b64decode(said["trace"])
            return Execution(b64decode(said["output"]), trace_hash, int(said["units"]), trace)
        except (KeyError, TypeError, ValueError) as error:
            raise _babble(error) from error


def _babble(error: Exception) -> ExecutorFailed:
    return ExecutorFailed(
        f"The process that runs jobs answered with what was not asked for: {error}.",
        way_out="Restart this program; if it happens again, the executor was taken over by an input.",
    )


def _error_of(said: Mapping[str, Any]) -> ExecutionError:
    """The error that the process reported, as its own class."""
    classes = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ExecutionError)]
    found = {each.code: each for each in classes}.get(str(said["error"]), ExecutionError)
    values = said.get("values")
    named = {str(name): value for name, value in values.items()} if isinstance(values, dict) else {}
    return found(str(said.get("message")), way_out=str(said.get("way_out")), **named)
