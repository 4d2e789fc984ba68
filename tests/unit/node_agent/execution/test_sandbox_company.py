"""A confined process that ends with several jobs under way: only the job that ends it fails.

The processes here speak the executor's protocol and compute nothing, so that many of them can die in little time;
`exact/test_batching.py` has one that computes.
"""

import fcntl
import hashlib
import os
import signal
import sys
import termios
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack
from node_agent.execution.engine import Engine, Execution
from node_agent.execution.errors import ExecutorFailed, InvalidInput
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox import Executor, client, process
from node_agent.execution.sandbox.messages import Message, Run
from node_agent.execution.sandbox.shared_lock import SharedLock
from tests.world.processes import states

WAIT_S = 30


def answer_to(text: bytes) -> Execution:
    """What `ECHO` answers."""
    return Execution(pack([]), hashlib.sha256(text).digest(), 1)


ECHO = """
import hashlib, json, os, select, struct, sys, time
from base64 import urlsafe_b64decode, urlsafe_b64encode

HEADER, CONFINE, LOAD = struct.Struct("<BQI"), 16, 17
ABOUT = {"name": "n", "version": "v", "check": "prefill", "concurrent": True, "numeric_class": None, "speed": None}
engines, batch, rest = 0, [], b""

def take(kind, call, payload):
    asked = json.loads(payload)
    text = urlsafe_b64decode(asked.get("input", ""))
    if text.startswith(b"die"):
        os._exit(3)
    if text.startswith(b"hang"):
        time.sleep(1000)
    if text.startswith(b"babble"):
        os.write(1, b"is this a frame?")
    if text.startswith(b"half"):
        os.write(1, HEADER.pack(3, call, 1000))
        time.sleep(1000)
    batch.append((kind, call, text, asked))

def answer(kind, call, text, asked):
    global engines
    if kind == CONFINE:
        answered, said = 1, {"landlock": 1, "namespaces": ""}
    elif kind == LOAD:
        answered, said = 2, {"engine": engines, **ABOUT}
        engines += 1
    elif text.startswith(b"bad"):
        answered, said = 5, {"code": "invalid_input", "message": "Bad.", "way_out": "None.", "values": {}}
    else:
        digest = urlsafe_b64encode(hashlib.sha256(text).digest()).decode()
        answered, said = 3, {"execution": {"output": "AAAAAA==", "trace_hash": digest, "units": 1, "trace": ""}}
    said = json.dumps(said, separators=(",", ":")).encode()
    os.write(1, HEADER.pack(answered, call, len(said)) + said)

while True:
    if batch and not select.select([0], [], [], 0)[0]:
        while batch:
            answer(*batch.pop())
    elif piece := os.read(0, 1 << 16):
        rest += piece
        while len(rest) >= HEADER.size and len(rest) >= (end := HEADER.size + HEADER.unpack_from(rest)[2]):
            kind, call, _ = HEADER.unpack_from(rest)
            take(kind, call, rest[HEADER.size:end])
            rest = rest[end:]
    else:
        break
"""
"""Answers in a batch, once there is nothing more to take into it."""


class Scene:
    """An executor whose processes echo, with all that were started."""

    def __init__(self, load: Callable[[Executor], Engine], started: Sequence[client.Process]) -> None:
        self.executor, self.started, self._load = Executor(Path("/")), started, load
        self.engine = self.load()
        self.pool = ThreadPoolExecutor(32)

    def load(self) -> Engine:
        """One more engine."""
        return self._load(self.executor)

    def ask(self, text: str) -> Future[Execution]:
        """A call from a thread of its own."""
        return self.pool.submit(self.engine.execute, text.encode(), {})

    def held_up(self, texts: Sequence[str]) -> list[Future[Execution]]:
        """Calls under way together, in a process that is stopped: it will read all of them at once."""
        process, calls = self.started[-1], []
        os.killpg(process.pid, signal.SIGSTOP)
        wait_for(lambda: set(states(process.pid)) == {"T"})
        for text in texts:
            read_later = self._unread()
            calls.append(self.ask(text))
            wait_for(lambda before=read_later: self._unread() > before)
        return calls

    def go_on(self) -> None:
        """Lets the stopped process run."""
        os.killpg(self.started[-1].pid, signal.SIGCONT)

    def _unread(self) -> int:
        """Bytes in the pipe to the process."""
        stdin = self.started[-1]._popen.stdin
        assert stdin is not None
        return int.from_bytes(fcntl.ioctl(stdin, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.fixture
def scene(
    tiny_files: ModelFiles, make_manifest: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """The place of these tests."""
    started: list[client.Process] = []
    start = client.Process
    monkeypatch.setattr(client, "_PROGRAM", [sys.executable, "-c", ECHO])
    monkeypatch.setattr(client, "Process", lambda *told: started.append(start(*told)) or started[-1])
    manifest = make_manifest(tiny_files)
    made = Scene(lambda executor: executor.load(tiny_files, manifest, "cpu"), started)
    with made.pool:
        yield made
        made.executor.close()


@pytest.mark.parametrize("place", range(4))
def test_only_the_one_that_kills_fails(scene: Scene, place: int) -> None:
    """Protects what an operator earns from a poisonous job: of four under way it fails alone, whenever its turn comes,
    after it ended two processes and no more. Covers: A58"""
    texts = ["a", "b", "c"]
    texts.insert(place, "die")
    calls = scene.held_up(texts)
    scene.go_on()
    with pytest.raises(ExecutorFailed, match="exit status 3"):
        calls.pop(place).result(WAIT_S)
    assert [each.result(WAIT_S) for each in calls] == [answer_to(b"a"), answer_to(b"b"), answer_to(b"c")]
    assert [process._popen.poll() for process in scene.started].count(3) == 2


def test_one_that_hangs_costs_no_other(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the others from a job that never ends: it is given up twice, they are answered."""
    monkeypatch.setattr(process, "MOST_S", 1)
    calls = scene.held_up(["a", "hang", "b"])
    scene.go_on()
    with pytest.raises(ExecutorFailed, match="hung"):
        calls.pop(1).result(WAIT_S)
    assert [each.result(WAIT_S) for each in calls] == [answer_to(b"a"), answer_to(b"b")]


@pytest.mark.parametrize("text", ["babble", "half"])
def test_one_whose_process_is_taken_over_costs_no_other(
    scene: Scene, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the others from a job that makes the process say what is no frame, or half of one: it fails after two
    processes, they are answered by others. Covers: A69"""
    monkeypatch.setattr(process, "FRAME_TIMEOUT_S", 0.5)
    calls = scene.held_up(["a", text, "b"])
    scene.go_on()
    with pytest.raises(ExecutorFailed):
        calls.pop(1).result(WAIT_S)
    assert [each.result(WAIT_S) for each in calls] == [answer_to(b"a"), answer_to(b"b")]


def test_one_that_was_alone_fails_at_once(scene: Scene) -> None:
    """Protects a host from endless tries: nobody else can have ended the process."""
    with pytest.raises(ExecutorFailed, match="exit status 3"):
        scene.ask("die").result(WAIT_S)
    assert len(scene.started) == 1


def test_an_error_that_is_said_is_no_death(scene: Scene) -> None:
    """Protects a host's time: what the process refuses is not asked again."""
    calls = scene.held_up(["bad", "a"])
    scene.go_on()
    with pytest.raises(InvalidInput):
        calls[0].result(WAIT_S)
    assert calls[1].result(WAIT_S) == answer_to(b"a")
    assert len(scene.started) == 1


def test_one_that_comes_too_late_is_not_blamed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a job whose process ended between the look whether it runs and the call: it gets the next one."""
    process, looks = scene.started[0], iter([False])
    os.kill(process.pid, signal.SIGKILL)
    process._thread.join(WAIT_S)
    monkeypatch.setattr(type(process), "is_over", property(lambda self: next(looks, self is process)))
    assert scene.ask("a").result(WAIT_S) == answer_to(b"a")
    assert len(scene.started) == 2


@pytest.mark.parametrize("end", [Executor.close, lambda executor: executor._at_the_end()], ids=["close", "exit"])
def test_what_is_ended_on_purpose_is_not_tried_again(scene: Scene, end: Callable[[Executor], None]) -> None:
    """Protects a program that ends from work that goes on behind its back: what is under way fails, what waits for its
    turn and what comes later too, and no process is started."""
    calls = scene.held_up(["a", "b", "c"])
    end(scene.executor)
    for each in [*calls, scene.ask("d")]:
        with pytest.raises(ExecutorFailed, match="on purpose"):
            each.result(WAIT_S)
    assert len(scene.started) == 1
    assert scene.started[0].is_over


def test_any_number_of_them(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects a busy host from many poisonous jobs: every call ends, those of honest jobs with their answer; each job
    is asked at most twice, the second time while nothing else is. Loads in between find their turn."""
    tries, under_way, crowds = Counter[str](), Counter[str](), []
    ask, lock = type(scene.started[0]).ask, threading.Lock()

    def watched(process: client.Process, request: Message, answer: type[Message]) -> Message:
        if not isinstance(request, Run):
            return ask(process, request, answer)
        text = request.input.decode()
        with lock:
            tries[text] += 1
            under_way[text] += 1
            if len(under_way) > 1 and any(tries[each] > 1 for each in under_way):
                crowds.append(set(under_way))
        try:
            return ask(process, request, answer)
        finally:
            with lock:
                del under_way[text]

    monkeypatch.setattr(type(scene.started[0]), "ask", watched)
    texts = [f"die {index}" if index % 7 == 3 else f"good {index}" for index in range(70)]
    calls = {text: scene.ask(text) for text in texts}
    for _ in range(3):
        scene.load()
    for text, call in calls.items():
        if text.startswith("die"):
            with pytest.raises(ExecutorFailed, match="exit status 3"):
                call.result(WAIT_S)
        else:
            assert call.result(WAIT_S) == answer_to(text.encode())
    assert crowds == []
    assert max(tries.values()) == 2
    assert len(scene.started) <= 1 + 2 * 10


def test_who_wants_the_lock_alone_goes_first() -> None:
    """Protects those who were tried in vain from a stream of new calls: who came later to share waits for them."""
    lock, entered, leave = SharedLock(), [], threading.Event()

    def hold(how: Callable[[], AbstractContextManager[None]], name: str) -> None:
        with how():
            entered.append(name)
            leave.wait(WAIT_S)

    with ThreadPoolExecutor(3) as pool:
        pool.submit(hold, lock.shared, "first")
        wait_for(lambda: entered == ["first"])
        pool.submit(hold, lock.exclusive, "alone")
        wait_for(lambda: lock._claims == 1)
        later = pool.submit(hold, lock.shared, "later")
        time.sleep(0.05)
        assert entered == ["first"]
        leave.set()
        later.result(WAIT_S)
    assert entered == ["first", "alone", "later"]


def test_a_lock_is_let_go_by_what_fails() -> None:
    """Protects all later calls from one that raised."""
    lock = SharedLock()
    for how in (lock.exclusive, lock.shared, lock.exclusive):
        with pytest.raises(KeyError), how():
            raise KeyError


def wait_for(done: Callable[[], bool]) -> None:
    """Fails unless it comes to pass in time."""
    until = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)
