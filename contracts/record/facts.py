"""The port through which sample and standing see the published log: what they ask, and nothing else.

Two adapters: `contracts.record.log_book.LogFacts` reads lines, `backend.store.record.SqlFacts` the tables that
lines are written from. One suite tests both (tests/unit/record/test_facts.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.protocol.manifest import Manifest
from contracts.protocol.records import Commitment


@dataclass(frozen=True)
class JobRow:
    """A row of an epoch that pays a job. `digest`: its commitment's, 32 bytes. `max_price`: its order's, units."""

    index: int
    digest: bytes
    operator_id: int
    max_price: int
    manifest: Manifest


@dataclass(frozen=True)
class ShownTrace:
    """Native work whose trace an epoch's log is the first to name.

    Attributes:
        operator_id: of the row that pays it.
        trace: name of the blob that was shown.
        observations: (verifier, name of the blob) of what verifiers had published of the work by then, in order.
    """

    digest: bytes
    commitment: Commitment
    operator_id: int
    weights_sha256: str
    trace: str
    observations: tuple[tuple[str, str], ...]


class Facts(Protocol):
    """The published log. Raises LogUnavailable, WrongLog for what it lacks or has altered."""

    def job_rows(self, epoch_id: int) -> Sequence[JobRow]:
        """The rows of an epoch that pay jobs and whose records were published, in order."""
        ...

    def shown_traces(self, epoch_id: int) -> Sequence[ShownTrace]:
        """The native work whose trace this epoch's log names first, by digest."""
        ...

    def blob(self, name: str) -> bytes:
        """The bytes with this keccak256 (0x hex)."""
        ...
