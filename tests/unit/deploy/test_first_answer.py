"""`assay up` says that it is up when a job was answered, and why not when none was.

given a network whose programs run
├── when the order is answered: up, and people were told what was waited for
├── when it expires: not up, with what the node said last of what went wrong
├── when the node ends again and again: not up, at once
└── when the backend never takes it: not up, with its words
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, pairwise, repeat
from pathlib import Path

import pytest

from deploy.localnet.up.errors import NotAnswered
from deploy.localnet.up.first_answer import QUIET_S, FirstAnswer


@dataclass
class Bench:
    """A wait by a clock of its own: each pause is what it says."""

    log: Path
    states: Iterator[str]
    failures: Iterator[int] = field(default_factory=lambda: repeat(0))
    now: float = 0.0
    said: list[tuple[float, str]] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)

    def first(self) -> FirstAnswer:
        def pause(seconds: float) -> None:
            self.now += seconds

        return FirstAnswer(
            state=lambda: next(self.states), failures=lambda: next(self.failures), tick=self.ticks.append,
            say=lambda text: self.said.append((self.now, text)), node_log=self.log, clock=lambda: self.now, pause=pause,
        )  # fmt: skip


def test_up_is_when_a_job_was_answered(tmp_path: Path) -> None:
    """Protects the first order of a newcomer: nothing is said to be up before, the programs are looked after meanwhile,
    and no silence is longer than ten seconds."""
    waited = ["not taken by the backend yet (no lane)"] * 10 + ["queued"] * 60 + ["leased"] * 50
    bench = Bench(tmp_path / "node.log", chain(waited, repeat("delivered")))
    assert bench.first().wait() == 60.0
    assert len(bench.ticks) == 120
    assert max(b - a for a, b in pairwise([0.0, *(at for at, _ in bench.said), 60.0])) <= QUIET_S + 0.5 <= 10.0
    assert bench.said[1] == (16.0, "waiting for the node's first answer: the order is queued (16 s)")


@pytest.mark.parametrize("state", ["rooted", "paid", "void", "skipped"])
def test_what_was_rooted_was_answered(tmp_path: Path, state: str) -> None:
    """Protects a fast epoch from being waited for until the order's end."""
    assert Bench(tmp_path / "node.log", repeat(state)).first().wait() == 0.0


def test_an_order_that_expires_is_no_answer(tmp_path: Path) -> None:
    """Protects people from a network that only looks up: it is told that no job was answered, and the last words of
    what went wrong, of this start alone, with the place of all of them."""
    log = tmp_path / "node.log"
    log.write_text("2026 ERROR loop: of yesterday\n")
    bench = Bench(log, chain(["queued"] * 20, repeat("expired")))
    first = bench.first()
    with log.open("a") as file:
        file.write(
            "2026 INFO app: starting\n2026 ERROR loop: engine_failed: no memory. Nothing was signed.\n2026 INFO x\n"
        )
    with pytest.raises(NotAnswered) as caught:
        first.wait()
    words = str(caught.value)
    assert caught.value.code == "not_answered"
    assert "not answered one word in 10 s; the order is expired" in words
    assert "last words: 2026 ERROR loop: engine_failed: no memory. Nothing was signed. (the rest is in" in words
    assert str(log) in words
    assert "yesterday" not in words


def test_a_node_that_keeps_ending_is_not_waited_for(tmp_path: Path) -> None:
    """Protects people's minutes, and shows the traceback's last line where the node wrote no log line."""
    log = tmp_path / "node.log"
    bench = Bench(log, repeat("queued"), chain([0] * 4, [1] * 4, [2] * 4, repeat(3)))
    first = bench.first()
    log.write_text('Traceback (most recent call last):\n  File "x.py"\nPermissionError: [Errno 13] torch\n' * 3)
    with pytest.raises(NotAnswered, match=r"ended 3 times; the order is queued.*PermissionError"):
        first.wait()
    assert bench.now < 10
    assert first.last_words() == "PermissionError: [Errno 13] torch", "once, however often it was started again"


def test_a_backend_that_takes_no_order_is_told_in_its_words(tmp_path: Path) -> None:
    """Protects people from waiting for ever for a lane that is never seen."""
    bench = Bench(tmp_path / "node.log", repeat("not taken by the backend yet (refused (lane_not_opened): no lane)"))
    with pytest.raises(NotAnswered, match=r"lane_not_opened.*last words: none"):
        bench.first().wait()
    assert 60 <= bench.now <= 61
