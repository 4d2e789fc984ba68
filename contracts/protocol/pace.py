"""How long a job takes on a host of known speed. Backend and node use the same formula.

    work     read    = the prompts' tokens
             written = texts * max_new_tokens where new tokens are metered, else 0
    seconds  = read / read_per_s + written / write_per_s
    needed_s = ceil(seconds * margin) + OVERHEAD_S

This is an upper bound: an answer may end early, and the texts of a job count as if done one after the other. A node
states the pace of *one* job while all its slots are busy. A job fits if now + needed_s <= deadline. Its lease can be
shorter: heartbeats extend it up to the deadline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from contracts.protocol.manifest import Manifest
from contracts.protocol.records import U32, Record

LENT_MARGIN_PCT = 150
"""The backend's margin before it lends a job: half as much again, for a busy host."""

TAKEN_MARGIN_PCT = 120
"""The node's margin before it begins: smaller, so that it does not return a job for a second's difference."""

OVERHEAD_S = 2
"""To fetch the input, read the lane on chain and deliver the answer."""

MilliPerSecond = Annotated[int, Field(strict=True, gt=0, le=U32)]


@dataclass(frozen=True)
class JobSize:
    """The most work that a job can be, in tokens."""

    read_tokens: int = 0
    written_tokens: int = 0


class Pace(Record):
    """The speed of one job while all slots of its node are busy, in thousandths of a token per second."""

    read_milli_per_s: MilliPerSecond
    write_milli_per_s: MilliPerSecond


def pace_of(read_per_s: float, write_per_s: float) -> Pace:
    """A pace from tokens per second, clipped to its fields' range."""
    read, write = (min(U32, max(1, int(1000 * per_s))) for per_s in (read_per_s, write_per_s))
    return Pace(read_milli_per_s=read, write_milli_per_s=write)


def most_work(manifest: Manifest, counts: Sequence[int], max_new_tokens: int) -> JobSize:
    """The size of a job. `counts`: tokens of each text, the template's included."""
    return JobSize(sum(counts), len(counts) * max_new_tokens if manifest.meter == "new_tokens" else 0)


def needed_s(size: JobSize, pace: Pace, margin_pct: int) -> int:
    """The most seconds that a job can take at this pace, rounded up."""
    read = _ceil(size.read_tokens * 1_000_000, pace.read_milli_per_s)
    written = _ceil(size.written_tokens * 1_000_000, pace.write_milli_per_s)
    return _ceil((read + written) * margin_pct, 100_000) + OVERHEAD_S


def _ceil(number: int, by: int) -> int:
    return -(-number // by)
