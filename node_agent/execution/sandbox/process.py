"""A confined process, seen from the side that holds the keys: whatever it says or leaves out, no caller waits too long.

One thread does all that is read from it and written to it. A process that says what is no answer is ended, with all
that it started; whoever waits for an answer of it has an error.
"""

import math
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from select import POLLIN, POLLOUT, poll
from typing import IO, TypeVar

from node_agent.execution.errors import ExecutorFailed, InvalidInput
from node_agent.execution.sandbox.calls import Calls
from node_agent.execution.sandbox.frames import BadFrame
from node_agent.execution.sandbox.launch import launch
from node_agent.execution.sandbox.messages import Failed, Message
from node_agent.execution.sandbox.needs import Needs
from node_agent.execution.sandbox.words import ForwardedWords, in_print

MOST_S = 900.0
"""How long any call may take: longer than any job that is allowed; what takes longer hangs."""

FRAME_TIMEOUT_S = 30.0
"""How long a frame may take from its first byte to its last: it is written at once."""

_END_S = 1.0
"""How long a process that closed its pipes, or whose stdin was closed, may take to end and to say why."""

_PIECE_BYTES = 1 << 16
_MOST_HOW = 300
_ENDED = "ended"

M = TypeVar("M", bound=Message)


class CauseUnknown(ExecutorFailed):
    """Thrown where a process ended and the call need not be why: others were under way too, or it came too late."""


class Process:
    """One confined process, and the calls that it has not answered yet: it may answer them in any order.

    Args:
        program: its command line; it reads requests from stdin and writes answers to stdout.
        needs: what it may see.
    """

    def __init__(self, program: Sequence[str], needs: Needs) -> None:
        self._popen = launch(program, needs)
        self._ended = os.pidfd_open(self._popen.pid)
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._told: str | None = None  # why it must end
        self._how: str | None = None  # how it ended
        self._calls, self._lock = Calls(), threading.Lock()
        self._unsent: deque[memoryview] = deque()
        self._words, self._looks = ForwardedWords(self.pid), poll()
        self._until = math.inf  # of a frame that has begun, or of a process that is ending
        self._thread = threading.Thread(target=self._run, name="executor", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """Its process id, and that of its group."""
        return self._popen.pid

    @property
    def is_over(self) -> bool:
        """Whether it can answer nothing any more."""
        with self._lock:
            return self._how is not None or _is_ready(self._ended)

    def ask(self, request: Message, answer: type[M], take: Callable[[bytes], None] | None = None) -> M:
        """Sends a request and waits for its answer, of this type. `take`: receives the blocks before that.

        Raises ExecutionError; CauseUnknown; ExecutorFailed if the process exits, times out or sends malformed output.
        """
        number = self._calls.number()
        frame = _frame(request, number)
        with self._lock:
            how = self._how
            if how is None:
                said_later = self._calls.add(number, answer, take)
                self._unsent.append(memoryview(frame))
                os.eventfd_write(self._bell, 1)
        if how is not None:
            raise _failed(how, self.end(), CauseUnknown)
        try:
            said = said_later.result(request.within_s or MOST_S)
        except TimeoutError:
            self._tell("hung")
            said = said_later.result()  # its thread ends it, and says so to all who wait
        if isinstance(said, Failed):
            raise said.error()
        assert isinstance(said, answer), "nothing else is handed out"
        return said

    def end(self) -> int:
        """Ends it, by closing its stdin if that is enough; returns its exit status."""
        self._tell(_ENDED)
        if threading.current_thread() is not self._thread:
            self._thread.join()
        assert self._popen.returncode is not None
        return self._popen.returncode

    def _tell(self, how: str) -> None:
        with self._lock:
            if self._how is None:
                self._told = self._told or how
                os.eventfd_write(self._bell, 1)

    def _run(self) -> None:
        how = "could not be spoken to"
        try:
            how = self._serve()
        finally:
            code = self._reap(gently=how == _ENDED)
            with self._lock:
                self._how = how
                for number in (self._ended, self._bell):
                    os.close(number)
            self._calls.fail(lambda waiting: _failed(how, code, ExecutorFailed if waiting == 1 else CauseUnknown))

    def _serve(self) -> str:
        """Moves bytes until the process has no more to give; returns why."""
        stdin, stdout, stderr = pipes = [pipe.fileno() for pipe in self._pipes]
        for number in pipes:
            os.set_blocking(number, False)
        for number in (stdout, stderr, self._ended, self._bell):
            self._looks.register(number, POLLIN)
        try:
            while (how := self._move(stdin, stdout, stderr)) is None:
                pass
            return how
        except BadFrame as error:
            return in_print(f"sent a frame that {error}", _MOST_HOW)

    def _move(self, stdin: int, stdout: int, stderr: int) -> str | None:
        """Waits until a pipe is ready, and moves what there is; why there will be no more. Raises BadFrame."""
        self._looks.register(stdin, POLLOUT if self._unsent else 0)
        left_s = self._until - time.monotonic()
        ready = dict(self._looks.poll(None if left_s == math.inf else max(0, math.ceil(left_s * 1000))))
        if stderr in ready:
            self._forward(stderr)
        if stdout in ready and not self._listen(stdout):
            return _ENDED
        if self._bell in ready:
            os.eventfd_read(self._bell)
        if self._told is not None:
            return self._told
        if ready.get(stdin) == POLLOUT:
            self._speak(stdin)
        if self._ended in ready or (stdin in ready and ready[stdin] != POLLOUT):
            self._until = min(self._until, time.monotonic() + _END_S)
            if stdout not in ready:
                return _ENDED
        return "stopped amid an answer" if time.monotonic() >= self._until else None

    def _forward(self, stderr: int) -> None:
        piece = _read(stderr)
        self._words.take(piece)
        if not piece:
            self._looks.unregister(stderr)

    def _listen(self, stdout: int) -> bool:
        """Whether there was anything to read."""
        piece = _read(stdout)
        if self._calls.take(piece) or self._until == math.inf:
            self._until = time.monotonic() + FRAME_TIMEOUT_S if self._calls.is_amid_answer else math.inf
        return bool(piece)

    def _speak(self, stdin: int) -> None:
        with suppress(BrokenPipeError):  # it closed its end; poll says so too
            sent = os.write(stdin, self._unsent[0][:_PIECE_BYTES])
            self._unsent[0] = self._unsent[0][sent:]
            if not self._unsent[0]:
                self._unsent.popleft()

    def _reap(self, *, gently: bool) -> int:
        """Ends it and all of its group; its exit status."""
        stdin, stdout, stderr = self._pipes
        stdin.close()  # which ends a process that is well
        if gently:
            _is_ready(self._ended, _END_S)
        os.killpg(self.pid, signal.SIGKILL)  # not waited for yet, so that no other group can have this number
        code = self._popen.wait()
        stdout.close()
        with stderr, suppress(OSError):
            self._words.take(_read(stderr.fileno()))
        self._words.take(b"")
        return code

    @property
    def _pipes(self) -> tuple[IO[bytes], IO[bytes], IO[bytes]]:
        popen = self._popen
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        return popen.stdin, popen.stdout, popen.stderr


def _frame(request: Message, number: int) -> bytes:
    try:
        return bytes(request.frame(number))
    except BadFrame as error:
        raise InvalidInput(f"What is asked of an engine {error}.", way_out="Send a shorter input.") from error


def _is_ready(number: int, timeout_s: float = 0) -> bool:
    looks = poll()
    looks.register(number, POLLIN)
    return bool(looks.poll(timeout_s * 1000))


def _read(pipe: int) -> bytes:
    return os.read(pipe, _PIECE_BYTES)


def _failed(how: str, code: int, kind: type[ExecutorFailed] = ExecutorFailed) -> ExecutorFailed:
    return kind(
        f"The process that runs jobs {how} (exit status {code}).",
        way_out="Its last words are in this program's log: did memory run out? The next job gets a new one.",
        status=code,
    )
