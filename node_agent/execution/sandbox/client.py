"""The side that holds the keys: starts the confined process, and calls the engines in it as if they were here."""

import logging
import sys
import threading
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeVar

from contracts.protocol.manifest import Manifest
from node_agent.devices.probe import choose
from node_agent.execution import kinds
from node_agent.execution.chat import ChatSettings
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.execution.errors import ExecutorFailed, UnsupportedModel
from node_agent.execution.model_files import ModelFiles, Wording
from node_agent.execution.sandbox.confinement import Layers
from node_agent.execution.sandbox.making import BlocksToFiles
from node_agent.execution.sandbox.messages import (
    Build,
    Confine,
    Confined,
    Convert,
    Cut,
    FindRoot,
    Load,
    Loaded,
    Made,
    Message,
    Observe,
    Observed,
    Ran,
    Root,
    Run,
    Tokens,
    Word,
    Worded,
)
from node_agent.execution.sandbox.needs import Needs
from node_agent.execution.sandbox.process import CauseUnknown, Process
from node_agent.execution.sandbox.shared_lock import SharedLock
from node_agent.execution.sandbox.speeds import Speeds

log = logging.getLogger(__name__)

_PROGRAM = [sys.executable, "-P", "-m", "node_agent.execution.sandbox.executor"]

_MOST_MADE_BYTES, _TIMES_ORIGIN = 64 << 20, 16
"""A weight of two bits becomes one of 32."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class _Wanted:
    """What has to be loaded again into a new process."""

    manifest: Manifest
    files: ModelFiles
    device: str


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
        self._loaded: list[_Wanted] = []
        self._needs = Needs()
        self._process: Process | None = None
        self._layers: Layers | None = None
        self._told: Layers | None = None
        self._lock = threading.Lock()
        self._calls = SharedLock()
        self._closed = threading.Event()

    def start(self) -> Layers:
        """Starts the process, if it does not run; which layers confine it. Raises SandboxUnavailable where none can."""
        self._running()
        assert self._layers is not None
        return self._layers

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
        wanted = _Wanted(manifest, files, where)
        with self._calls.exclusive():
            self._need(self._needs.grown(files, torch=needs_torch, gpu=where != "cpu"))
            said = self._running().ask(self._request(wanted), Loaded)
            self._loaded.append(wanted)
        self._tell_layers()
        return self._engine(said, wanted)

    def cut(self, tokenizer: Path, sha256: str, text: str) -> list[int]:
        """The token ids of a text alone, by a tokenizer.json with this digest.

        Raises UnsupportedModel where it is none, SandboxUnavailable, ExecutorFailed.
        """
        if tokenizer not in self._needs.models:
            with self._calls.exclusive():
                self._need(self._needs_and(tokenizer))
        return list(self.call(Cut(tokenizer=tokenizer, sha256=sha256, text=text), Tokens).ids)

    def make(self, request: Convert | Build, folder: Path) -> None:
        """Makes a model's files from others, in a folder that is there.

        Raises UnsafeModelFormat, UnsupportedModel, SandboxUnavailable, ExecutorFailed; OSError where this host cannot
        write them.
        """
        if isinstance(request, Convert):
            files = (*request.files, *request.chat)
        else:
            files = (request.files.weights, request.files.config)
        most_bytes = _MOST_MADE_BYTES + _TIMES_ORIGIN * sum(path.stat().st_size for path in files)
        with self._calls.exclusive(), BlocksToFiles(folder, most_bytes) as blocks:
            self._need(self._needs_and(*files))
            self._running().ask(request, Made, blocks.take)
        if blocks.error is not None:
            raise blocks.error

    def root_of(self, weights: Path) -> str:
        """The root of a file of the exact engine, 0x hex. Raises as `make` does."""
        with self._calls.exclusive():
            self._need(self._needs_and(weights))
            return self._running().ask(FindRoot(weights=weights), Root).root

    def sizes_of(self, weights: Path, work: str) -> Root:
        """The root of a file of the exact engine, and its sizes; the engine of this kind of work has to read it.

        Raises as `make` does."""
        with self._calls.exclusive():
            self._need(self._needs_and(weights))
            return self._running().ask(FindRoot(weights=weights, work=work), Root)

    def word(self, tokenizer: Path, sha256: str, chat: Path | None, settings: ChatSettings) -> Wording:
        """A model's wording, by its tokenizer and, where it chats, by its chat.json; see `wording`. Raises as `make`
        does; UnsupportedModel where the template or the tokenizer ended the process, or took too long."""
        files = (tokenizer,) if chat is None else (tokenizer, chat)
        with self._calls.exclusive():
            self._need(self._needs_and(*files))
            try:
                request = Word(tokenizer=tokenizer, sha256=sha256, chat=chat, settings=settings)
                said = self._running().ask(request, Worded)
            except ExecutorFailed as error:
                raise UnsupportedModel(
                    f"The model's chat template or its tokenizer cannot be run: {error.message}",
                    way_out="Use another file of the model.",
                ) from error
        return Wording(said.tokenizer, said.before, said.after, said.stops)

    def _needs_and(self, *files: Path) -> Needs:
        return replace(self._needs, models=tuple(dict.fromkeys((*self._needs.models, *files))))

    def _need(self, needs: Needs) -> None:
        """A process gets its needs before it is confined; if they have grown, a new process gets them."""
        if needs != self._needs:
            self._needs = needs
            with self._lock:
                self._end()

    def _tell_layers(self) -> None:
        """Says which layers hold where jobs run, whenever that changes."""
        if self._layers != self._told:
            log.info("jobs run in a process %s", self._layers)
            self._told = self._layers

    def _request(self, wanted: _Wanted) -> Load:
        known = self._speeds.known(wanted.device, wanted.files.weights_sha256)
        return Load(manifest=wanted.manifest, files=wanted.files, device=wanted.device, known=known)

    def _engine(self, said: Loaded, wanted: _Wanted) -> "_Remote":
        if said.speed is not None:
            self._speeds.keep(wanted.device, wanted.files.weights_sha256, said.speed)
        about = {name: getattr(said, name) for name in Loaded.model_fields if name != "engine"}
        return _Remote(self, said.engine, **about)

    def call(self, request: Message, answer: type[M]) -> M:
        """One request, answered. Raises ExecutionError.

        ExecutorFailed where the process exited, timed out or sent malformed output over this one, or was closed.
        """
        try:
            with self._calls.shared():
                return self._running().ask(request, answer)
        except CauseUnknown as error:
            log.warning("%s A job that was under way is tried again, alone.", error.message)
        with self._calls.exclusive():
            return self._running().ask(request, answer)

    def close(self) -> None:
        """Ends the process for good: calls under way fail, and so do later ones."""
        self._closed.set()
        with self._lock:
            self._end()

    def _running(self) -> "Process":
        with self._lock:
            if self._closed.is_set():
                raise ExecutorFailed(
                    "The process that runs jobs was ended on purpose.", way_out="Start this program again."
                )
            if self._process is None or self._process.is_over:
                self._end()
                self._process = self._started()
            return self._process

    def _started(self) -> "Process":
        needs = self._needs
        process = Process(_PROGRAM, needs)
        try:
            said = process.ask(Confine(models=needs.models, torch=needs.torch, gpu=needs.gpu), Confined)
            self._layers = Layers(said.landlock, said.namespaces)
            for wanted in self._loaded:
                process.ask(self._request(wanted), Loaded)
                self._tell_layers()
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


def _end_for_good(closed: threading.Event, process: Process) -> None:
    closed.set()
    process.end()


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
        return self._run(input_bytes, params, "execute")

    def recheck(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> Execution:
        return self._run(input_bytes, params, "recheck", claimed)

    def observe(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> bytes:
        request = Observe(engine=self.number, input=input_bytes, params=dict(params), claimed=claimed)
        return self.executor.call(request, Observed).observation

    def _run(
        self, input_bytes: bytes, params: Mapping[str, int], work: Literal["execute", "recheck"], claimed: bytes = b""
    ) -> Execution:
        request = Run(engine=self.number, work=work, input=input_bytes, params=dict(params), claimed=claimed)
        return self.executor.call(request, Ran).execution
