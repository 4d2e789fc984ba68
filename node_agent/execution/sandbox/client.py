"""The side that holds the keys: starts the confined process, and calls the engines in it as if they were here."""

import json
import os
import select
import subprocess
import sys
import threading
import weakref
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.protocol.manifest import Manifest
from node_agent.execution import errors
from node_agent.execution.engine import Check, Engine, Execution
from node_agent.execution.errors import ExecutionError, ExecutorFailed
from node_agent.execution.model_files import ModelFiles

CALL_TIMEOUT_S = 900.0
"""Longer than any job that is allowed; what takes longer hangs."""

_END_S = 1.0
"""How long a process that closed its pipes may take to end, and to say why."""

_ANSWER_BYTES = 4 << 20
"""The longest answer: an output has at most 64 KiB."""

_PROGRAM = [sys.executable, "-P", "-m", "node_agent.execution.sandbox.executor"]
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH")
_PASSED_ON_PREFIXES = ("ATEN_", "CUBLAS_", "CUDA_", "KMP_", "MKL_", "NVIDIA_", "OMP_", "ONEDNN_", "TORCH_")


@dataclass(frozen=True)
class _Loaded:
    """What has to be loaded again into a new process."""

    manifest: Manifest
    files: ModelFiles
    device: str | None

    def request(self) -> dict[str, Any]:
        """What asks for it."""
        files = {name: str(value) for name, value in vars(self.files).items()}
        return {"load": self.manifest.model_dump(mode="json"), "files": files, "device": self.device}


class Executor:
    """The confined process of a host. A process that dies or hangs is replaced at the next call.

    Args:
        readable: what it may read besides its own program: the model store.
    """

    def __init__(self, readable: Path) -> None:
        self._readable = readable.expanduser().resolve()
        self._loaded: list[_Loaded] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Starts the process, if it does not run. Raises SandboxUnavailable where this kernel cannot confine it."""
        with self._lock:
            self._require_running()

    def load(self, files: ModelFiles, manifest: Manifest, device: str | None = None) -> Engine:
        """The engine of a workload, in the process. Raises what `kinds.load` does, and SandboxUnavailable."""
        wanted = _Loaded(manifest, files, device)
        with self._lock:
            said = self._ask(wanted.request())
            self._loaded.append(wanted)
        about = (str(said["name"]), str(said["version"]), said["check"], said["numeric_class"])
        return _Remote(self, said["engine"], *about)

    def call(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One request, answered. Raises ExecutionError; ExecutorFailed where the process died, hung or babbled."""
        with self._lock:
            return self._ask(request)

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._kill()

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        self._require_running()
        return self._exchange(request)

    def _require_running(self) -> None:
        if self._process is None or self._process.poll() is not None:
            self._start()

    def _start(self) -> None:
        self._kill()
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
        }
        self._process = subprocess.Popen(
            _PROGRAM,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | {"CUDA_CACHE_DISABLE": "1"},
            cwd="/",
            start_new_session=True,  # a Ctrl-C is for its parent, which lets the job finish
        )
        self._at_the_end = weakref.finalize(self, _end, self._process)
        try:
            self._exchange({"readable": [str(self._readable)]})
            for number, wanted in enumerate(self._loaded):
                if self._exchange(wanted.request())["engine"] != number:
                    raise self._failed("loaded its engines in another order")
        except ExecutionError:
            self._kill()  # one that is not confined, or lacks an engine, is never asked again
            raise

    def _exchange(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._failed("ended") from error
        line = self._read_line()
        try:
            said = json.loads(line)
        except ValueError as error:
            raise self._failed("answered with what is no JSON") from error
        if not isinstance(said, dict):
            raise self._failed("answered with what is no object")
        if "error" in said:
            raise _error_of(said)
        return said

    def _read_line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor, read = self._process.stdout.fileno(), b""
        while not read.endswith(b"\n"):
            ready, _, _ = select.select([descriptor], [], [], CALL_TIMEOUT_S)
            piece = os.read(descriptor, 1 << 16) if ready else b""
            read += piece
            if not piece or len(read) > _ANSWER_BYTES:
                raise self._failed("ended" if ready and not piece else "hung, or answered too much")
        return read

    def _failed(self, how: str) -> ExecutorFailed:
        code = self._kill()
        return ExecutorFailed(
            f"The process that runs jobs {how} (exit status {code}).",
            way_out="Its last words are in this program's log: did memory run out? The next job gets a new one.",
            status=code,
        )

    def _kill(self) -> int | None:
        """Ends the process, if there is one; its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        self._at_the_end.detach()
        return _end(process)


def _end(process: subprocess.Popen[bytes]) -> int:
    """Closes the pipes, which ends a process that is well, and waits; its exit status."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):  # what was still to be written has nobody to read it
                pipe.close()
    try:
        return process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@dataclass(frozen=True)
class _Remote(Engine):
    """An engine in the confined process; see `engine.Engine`."""

    executor: Executor
    number: int
    name: str
    version: str
    check: Check
    numeric_class: str | None

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
