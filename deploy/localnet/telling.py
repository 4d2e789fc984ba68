"""The demo's progress: bars on a terminal, elsewhere a line at least every few seconds."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

QUIET_S = 8.0
"""A progress line follows after so long without one."""

_TICK_S = 0.5
_STAGES = (
    ("answered", frozenset({"delivered", "rooted", "paid", "void", "skipped"})),
    ("under a root", frozenset({"rooted", "paid", "void", "skipped"})),
    ("settled", frozenset({"paid", "void", "skipped"})),
)


@dataclass
class Progress:
    """The story's progress for its audience: the present step, how many jobs there will be, and how many are in which
    state."""

    step: Callable[[str], None]
    expect: Callable[[int], None]
    jobs: Callable[[dict[str, int]], None]


@contextmanager
def watching(console: Console) -> Iterator[Progress]:
    """Shows progress on a console while the block lasts."""
    with _bars(console) if console.is_terminal else _lines(console) as progress:
        yield progress


class SteadyLines:
    """Prints each step, and after QUIET_S without a line its duration and the jobs' states. Thread-safe.

    Args:
        say: prints a line.
        clock: seconds.
        stamped: whether a line begins with the time since the start.
    """

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float], *, stamped: bool = True) -> None:
        self._say, self._clock, self._stamped, self._lock = say, clock, stamped, threading.Lock()
        self._start = self._step_at = self._said_at = clock()
        self._step, self._total, self._counts = "starting", 0, dict[str, int]()

    def step(self, text: str) -> None:
        """A new step begins."""
        with self._lock:
            self._step, self._step_at = text.splitlines()[0], self._clock()
            self._print(text)

    def expect(self, jobs: int) -> None:
        """So many jobs will be ordered."""
        with self._lock:
            self._total = jobs

    def jobs(self, states: dict[str, int]) -> None:
        """So many jobs are in each state."""
        with self._lock:
            self._counts = dict(states)

    def tick(self) -> None:
        """Prints a line if there was none for QUIET_S. Call it often."""
        with self._lock:
            now = self._clock()
            if now - self._said_at < QUIET_S:
                return
            words = f"still: {self._step} ({now - self._step_at:.0f} s)"
            self._print(", ".join([words, *_stages(self._counts, self._total)]) if self._counts else words)

    def _print(self, text: str) -> None:
        self._said_at = self._clock()
        seconds = int(self._said_at - self._start)
        self._say(f"{seconds // 60}:{seconds % 60:02} {text}" if self._stamped else text)


def _stages(states: dict[str, int], total: int) -> list[str]:
    most = max(total, sum(states.values()))
    return [f"{name} {sum(n for state, n in states.items() if state in reached)}/{most}" for name, reached in _STAGES]


@contextmanager
def ticking(lines: SteadyLines) -> Iterator[None]:
    """Prints lines regularly while the block lasts."""
    over = threading.Event()

    def keep_ticking() -> None:
        while not over.wait(_TICK_S):
            lines.tick()

    thread = threading.Thread(target=keep_ticking, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def _lines(console: Console) -> Iterator[Progress]:
    lines = SteadyLines(lambda text: console.print(text, markup=False, soft_wrap=True), time.monotonic)
    with ticking(lines):
        yield Progress(lines.step, lines.expect, lines.jobs)


@contextmanager
def _bars(console: Console) -> Iterator[Progress]:
    """Bars for the jobs' stages under a line that names the present step."""
    columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {name: bars.add_task(name, total=None) for name, _ in _STAGES}

        def expect(jobs: int) -> None:
            for name, _ in _STAGES:
                bars.update(tasks[name], total=jobs)

        def count(states: dict[str, int]) -> None:
            for name, reached in _STAGES:
                bars.update(tasks[name], completed=sum(n for state, n in states.items() if state in reached))

        yield Progress(lambda text: bars.console.print(f"[dim]·[/dim] {escape(text)}"), expect, count)
