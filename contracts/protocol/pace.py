"""How long a job takes on a host that knows its speed: one formula for who lends the job and who takes it.

    work     read    = the prompts' tokens
             written = texts * max_new_tokens where new tokens are metered, else 0
    seconds  = read / read_per_s + written / write_per_s
    needed_s = ceil(seconds * margin) + OVERHEAD_S

All of it is a bound: an answer may end early, and texts of one job count as if
they were done one after the other. A node states the pace that *one* job has there while all its slots are taken. So a
job fits where now + needed_s <= deadline. Its lease need not be that long: heartbeats carry it up to the deadline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from contracts.protocol.manifest import Manifest
from contracts.protocol.records import U32, Record

LENT_MARGIN_PCT = 150
"""What a backend asks for before it lends a job: half as much again, for a host that has other things to do."""

TAKEN_MARGIN_PCT = 120
"""What a node asks for before it begins: less, so that what was lent a moment ago is not given back for a second."""

OVERHEAD_S = 2
"""To fetch the input, to read the lane on chain, and to hand over the answer."""

MilliPerSecond = Annotated[int, Field(strict=True, gt=0, le=U32)]


@dataclass(frozen=True)
class JobSize:
    """The most that a job makes an engine do, tokens."""

    read_tokens: int = 0
    written_tokens: int = 0


class Pace(Record):
    """What one job gets on a node whose slots are all taken: thousandths of a token a second."""

    read_milli_per_s: MilliPerSecond
    write_milli_per_s: MilliPerSecond


def pace_of(read_per_s: float, write_per_s: float) -> Pace:
    """A pace from tokens a second, within what its fields carry."""
    read, write = (min(U32, max(1, int(1000 * per_s))) for per_s in (read_per_s, write_per_s))
    return Pace(read_milli_per_s=read, write_milli_per_s=write)


def most_work(manifest: Manifest, counts: Sequence[int], max_new_tokens: int) -> JobSize:
    """The size of a job whose texts have so many tokens, the template's included."""
    return JobSize(sum(counts), len(counts) * max_new_tokens if manifest.meter == "new_tokens" else 0)


def needed_s(size: JobSize, pace: Pace, margin_pct: int) -> int:
    """How long a job may take at this pace, seconds, rounded up."""
    read = _ceil(size.read_tokens * 1_000_000, pace.read_milli_per_s)
    written = _ceil(size.written_tokens * 1_000_000, pace.write_milli_per_s)
    return _ceil((read + written) * margin_pct, 100_000) + OVERHEAD_S


def _ceil(number: int, by: int) -> int:
    return -(-number // by)
