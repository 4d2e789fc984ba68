"""Whether this host finishes a job in time, from its engine's measured speed, the number of slots and recent jobs.

    company(n)  with n slots, reading takes n times as long, since one pass uses the whole device; writing takes sqrt(n)
                times as long, since answers written together share the weights: four together took 1.7 times as long as
                one alone, eight 2.8 times (`deploy/docs/adr/0007-several-leases-a-node.md`)
    drag        how many times longer than expected both of the last two jobs took, within DRAG_S: a busy host is slower
                than when it was measured, but a single slow job does not count
    pace        the measured speed / company(slots) / drag

`contracts.protocol.pace` computes with the pace, here and at the backend. Without a measurement there is no pace, and
no job is refused for its time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt

from contracts.protocol.pace import TAKEN_MARGIN_PCT, JobSize, Pace, needed_s, pace_of
from node_agent.execution.engine import Speed

DRAG_S = 300
"""A slow job counts so long."""

_LEAST_EXPECTED_S = 2.0
"""Shorter jobs are not counted: they may have waited behind another, and the clock has whole seconds."""


@dataclass(frozen=True)
class _Took:
    """A job that ended at `at_s` and took `ratio` times as long as expected."""

    at_s: int
    ratio: float


class Pacer:
    """Estimates how fast this host is, by workload. Used from one thread.

    `speeds`: of each workload's engine, measured for one job alone. `slots`: how many jobs may run at once.
    """

    def __init__(self, speeds: Mapping[str, Speed | None], slots: int, clock: Callable[[], int]) -> None:
        self._speeds, self._slots, self._clock = speeds, slots, clock
        self._took: dict[str, list[_Took]] = {}

    def pace(self, workload_id: str) -> Pace | None:
        """The speed of one job with all slots taken; None where nobody measured."""
        rates = self._rates(workload_id, self._drag(workload_id))
        return None if rates is None else pace_of(*rates)

    def finished(self, workload_id: str, done: JobSize, took_s: int) -> None:
        """Learns from a job that took `took_s`. `done`: the most tokens it read, and the tokens it wrote."""
        rates = self._rates(workload_id, drag=1.0)
        if rates is None:
            return
        expected_s = done.read_tokens / rates[0] + done.written_tokens / rates[1]
        if expected_s >= _LEAST_EXPECTED_S:
            took = _Took(self._clock(), took_s / expected_s)
            self._took[workload_id] = [*self._took.get(workload_id, []), took][-2:]

    def too_late(self, workload_id: str, size: JobSize, deadline: int) -> str | None:
        """The reason against starting a job of this size now, in words; None if there is none."""
        pace, left_s = self.pace(workload_id), deadline - self._clock()
        if pace is None or (needed := needed_s(size, pace, TAKEN_MARGIN_PCT)) <= left_s:
            return None
        writing = f" and writing {size.written_tokens}" if size.written_tokens else ""
        return f"{self._says(pace, size, left_s)}: reading {size.read_tokens}{writing} tokens may take {needed} s"

    def out_of_time(self, workload_id: str, size: JobSize, begun_at: int, until: int) -> str | None:
        """The reason why a job under way can no longer be answered by `until`, in words; None if it can."""
        now, pace = self._clock(), self.pace(workload_id)
        if pace is None:
            return f"its time was over at {until}, and it is {now}" if now > until else None
        rest_s = max(0, needed_s(size, pace, margin_pct=100) - (now - begun_at))
        if now + rest_s <= until:
            return None
        return f"{self._says(pace, size, max(0, until - now))}: after {now - begun_at} s the rest may take {rest_s} s"

    def in_words(self, workload_id: str) -> str:
        """This host's way of computing a workload and its speed, for people."""
        speed = self._speeds.get(workload_id)
        if speed is None:
            return "speed not measured: no job is refused for its time"
        writes = "" if speed.write_per_s == speed.read_per_s else f", writes {speed.write_per_s:.3g}"
        return f"{speed.way}: reads {speed.read_per_s:.3g}{writes} tokens/s, one job alone"

    def _says(self, pace: Pace, size: JobSize, left_s: int) -> str:
        milli = pace.write_milli_per_s if size.written_tokens else pace.read_milli_per_s
        return f"this host does {milli / 1000:.3g} tokens/s, the order leaves {left_s} s"

    def _rates(self, workload_id: str, drag: float) -> tuple[float, float] | None:
        speed = self._speeds.get(workload_id)
        if speed is None:
            return None
        return speed.read_per_s / self._slots / drag, speed.write_per_s / sqrt(self._slots) / drag

    def _drag(self, workload_id: str) -> float:
        since = self._clock() - DRAG_S
        recent = [took.ratio for took in self._took.get(workload_id, []) if took.at_s >= since]
        return max(1.0, min(recent)) if len(recent) == 2 else 1.0
