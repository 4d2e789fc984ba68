"""The port through which sample and standing read the published log.

Two adapters: `contracts.record.log_book.LogFacts` over lines, `backend.store.record.SqlFacts` over the tables that the
lines are written from. One suite tests both (tests/unit/record/test_facts.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.protocol.manifest import Manifest
from contracts.protocol.records import Commitment


@dataclass(frozen=True)
class JobRow:
    """A row that pays a job. `digest`: its commitment's, 32 bytes. `max_price`: its order's, units."""

    index: int
    digest: bytes
    operator_id: int
    max_price: int
    manifest: Manifest


@dataclass(frozen=True)
class ShownTrace:
    """Native work whose trace is named for the first time in an epoch's log.

    Attributes:
        operator_id: of the row that pays it.
        trace: the blob's name.
        observations: (verifier, blob's name) of each observation of the work published by then, in order.
    """

    digest: bytes
    commitment: Commitment
    operator_id: int
    weights_sha256: str
    trace: str
    observations: tuple[tuple[str, str], ...]


class Facts(Protocol):
    """The published log. Raises LogUnavailable for missing and WrongLog for altered parts."""

    def job_rows(self, epoch_id: int) -> Sequence[JobRow]:
        """The rows of an epoch that pay jobs with published records, in order."""
        ...

    def shown_traces(self, epoch_id: int) -> Sequence[ShownTrace]:
        """The native work whose trace this epoch's log names first, by digest."""
        ...

    def blob(self, name: str) -> bytes:
        """The bytes with this keccak256 (0x hex)."""
        ...
