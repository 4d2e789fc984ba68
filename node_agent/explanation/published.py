"""The published log, read for one payment: held against the roots on chain, found by ids. Trusts no line unread."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from contracts.onchain.history import History, PostedEpoch
from contracts.protocol.errors import ProtocolError
from contracts.protocol.hashing import ZERO32, to_hex
from contracts.protocol.log import (
    CommitmentEntry,
    LeaseEntry,
    ObservationEntry,
    OrderEntry,
    RowEntry,
    TraceEntry,
    VerdictEntry,
    log_root,
    parse_line,
)
from contracts.protocol.typed_data import Domain
from node_agent.errors import BackendError

ReadLines = Callable[[int], list[bytes]]
"""The lines of an epoch's file. Raises BackendError."""


@dataclass
class EpochLog:
    """The records of one epoch, by their own digests; rows in order. Of traces and observations the blobs' names, by
    the digests of their commitments and verdicts."""

    orders: dict[str, OrderEntry] = field(default_factory=dict)
    leases: list[LeaseEntry] = field(default_factory=list)
    commitments: dict[str, CommitmentEntry] = field(default_factory=dict)
    verdicts: list[VerdictEntry] = field(default_factory=list)
    traces: dict[str, str] = field(default_factory=dict)
    observations: dict[str, str] = field(default_factory=dict)
    rows: list[RowEntry] = field(default_factory=list)


class PublishedLog:
    """Epochs read so far. `unread`: why an epoch could not be read; `lies`: what is not what the chain committed to."""

    def __init__(self, read_lines: ReadLines | None, history: History, domain: Domain) -> None:
        self._read_lines, self._history, self._domain = read_lines, history, domain
        self._epochs: dict[int, EpochLog | None] = {}
        self.unread: dict[int, str] = {}
        self.lies: list[str] = []

    def epoch(self, epoch_id: int) -> EpochLog | None:
        """The records of a posted epoch; None where they cannot be had, or are not what was committed to."""
        if epoch_id not in self._epochs:
            self._epochs[epoch_id] = self._read(self._history.epochs[epoch_id])
        return self._epochs[epoch_id]

    def find_commitment(self, order_id: str) -> tuple[int, CommitmentEntry] | None:
        """Where an order was answered, the newest epoch first."""
        for epoch_id in sorted(self._history.epochs, reverse=True):
            log = self.epoch(epoch_id)
            found = [c for c in log.commitments.values() if c.commitment.order_id == order_id] if log else []
            if found:
                return epoch_id, found[0]
        return None

    def verdicts_on(self, digest: str, since: int) -> list[VerdictEntry]:
        """The published verdicts on a commitment, from the logs of `since` on."""
        logs = [self.epoch(n) for n in sorted(self._history.epochs) if n >= since]
        return [v for log in logs if log for v in log.verdicts if v.verdict.commitment_digest == digest]

    def trace_of(self, digest: str) -> tuple[int, str] | None:
        """The first epoch in whose log a commitment's trace stands, and the blob's name."""
        return next(((n, log.traces[digest]) for n, log in self._all() if digest in log.traces), None)

    def observation_of(self, digest: str) -> tuple[int, str] | None:
        """The first epoch in whose log the observation behind a verdict stands, and the blob's name."""
        return next(((n, log.observations[digest]) for n, log in self._all() if digest in log.observations), None)

    def _all(self) -> Iterator[tuple[int, EpochLog]]:
        for epoch_id in sorted(self._history.epochs):
            log = self.epoch(epoch_id)
            if log is not None:
                yield epoch_id, log

    def job_rows(self, epoch_id: int) -> list[tuple[int, int]] | None:
        """(operator id, max price) of an epoch's jobs, as `exposure_units` wants them."""
        log = self.epoch(epoch_id)
        if log is None:
            return None
        found = []
        for row in log.rows:
            commitment = log.commitments.get(row.digest)
            order = log.orders.get(commitment.commitment.order_id) if commitment else None
            if order is not None:
                found.append((row.operator_id, order.order.terms.max_price))
        return found

    def _read(self, posted: PostedEpoch) -> EpochLog | None:
        if posted.log_root == ZERO32:
            return EpochLog()
        if self._read_lines is None:
            self.unread[posted.epoch_id] = "no backend is known"
            return None
        try:
            lines = self._read_lines(posted.epoch_id)
        except BackendError as error:
            self.unread[posted.epoch_id] = str(error)
            return None
        if log_root(lines) != posted.log_root:
            self.lies.append(
                f"the published log of epoch {posted.epoch_id} hashes to {to_hex(log_root(lines))}, the chain holds "
                f"{to_hex(posted.log_root)}: somebody changed it after it was posted"
            )
            return None
        try:
            return self._file(lines)
        except ProtocolError as error:
            self.lies.append(f"the published log of epoch {posted.epoch_id} holds what is no record: {error}")
            return None

    def _file(self, lines: list[bytes]) -> EpochLog:
        log = EpochLog()
        for entry in map(parse_line, lines):
            match entry:
                case OrderEntry():
                    log.orders[to_hex(self._domain.order_id(entry.order))] = entry
                case LeaseEntry():
                    log.leases.append(entry)
                case CommitmentEntry():
                    log.commitments[to_hex(self._domain.commitment_digest(entry.commitment))] = entry
                case VerdictEntry():
                    log.verdicts.append(entry)
                case TraceEntry():
                    log.traces[entry.commitment_digest] = entry.trace
                case ObservationEntry():
                    log.observations[entry.verdict_digest] = entry.observation
                case RowEntry():
                    log.rows.append(entry)
        return log
