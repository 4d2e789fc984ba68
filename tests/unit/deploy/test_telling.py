"""What the demo tells where the output is no terminal: no long silence, and true numbers."""

import itertools
import subprocess
import sys
import time

import hypothesis.strategies as st
from hypothesis import given, settings

from deploy.localnet.telling import QUIET_S, SteadyLines

MOST_SILENT_S = 10.0


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 200), st.booleans()), max_size=8))
def test_no_silence_is_longer_than_ten_seconds(steps: list[tuple[float, bool]]) -> None:
    """Protects whoever reads a log: however long steps take, and whether or not jobs are counted meanwhile, a line
    comes at least every ten seconds, as long as somebody ticks twice a second."""
    clock = Clock()
    at: list[float] = []
    lines = SteadyLines(lambda text: at.append(clock.now), clock)
    lines.step("the first")
    for length, counts in steps:
        until = clock.now + length
        while clock.now < until:
            clock.now += 0.5
            if counts:
                lines.jobs({"queued": 1})
            lines.tick()
        lines.step("the next")
    assert max((b - a for a, b in itertools.pairwise(at)), default=0.0) <= MOST_SILENT_S


def test_a_busy_step_is_not_repeated_at_every_tick() -> None:
    """Protects the log from a line a tick: one each QUIET_S."""
    clock, said = Clock(), list[str]()
    lines = SteadyLines(said.append, clock)
    lines.step("deploying the contracts")
    for _ in range(200):
        clock.now += 0.5
        lines.tick()
    assert len(said) == 1 + int(100 // QUIET_S)


def test_it_says_what_is_so() -> None:
    """Protects the reader: elapsed time, the step with its own time, and the jobs by how far they are."""
    clock, said = Clock(), list[str]()
    lines = SteadyLines(said.append, clock)
    clock.now = 61.0
    lines.step("jobs are ordered\nand more words")
    lines.expect(24)
    lines.jobs({"queued": 3, "leased": 1, "delivered": 4, "rooted": 2, "paid": 5, "void": 1})
    clock.now = 75.0
    lines.tick()
    assert said == [
        "1:01 jobs are ordered\nand more words",
        "1:15 still: jobs are ordered (14 s), answered 12/24, under a root 8/24, settled 6/24",
    ]


def test_a_pipe_gets_lines_while_a_step_lasts() -> None:
    """Protects the wiring: with no terminal the lines come by themselves, as they are said, not at the end."""
    code = (
        "import time; from rich.console import Console; from deploy.localnet import telling\n"
        "telling.QUIET_S = 0.4\n"
        "with telling.watching(Console()) as progress:\n"
        "    progress.step('a long one'); time.sleep(3)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        second = process.stdout.readline()
        at = time.monotonic()
        rest = process.stdout.read()
        assert time.monotonic() - at > 0.5, "the second line came while the step lasted"
    assert b"a long one" in first
    assert b"still: a long one" in second
    assert rest.count(b"still: a long one") >= 1
