"""An epoch's published lines as records, found by their ids. Pure.

`read_epoch` is strict, for whoever acts on the log: the lines must be what the chain committed to. The auditor reads
line by line with `LogBook.add`, so that it can name the first wrong one.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import ValidationError

from contracts.onchain.history import PostedEpoch
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.log import (
    CommitmentEntry,
    LeaseEntry,
    LogEntry,
    ObservationEntry,
    OrderEntry,
    RowEntry,
    TraceEntry,
    VerdictEntry,
    WorkloadEntry,
    log_root,
    parse_line,
)
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import merkle_root
from contracts.protocol.typed_data import Domain
from verifier.errors import WorkloadUnknown, WrongLog


@dataclass
class EpochLog:
    """The records of one epoch. Keys are digests, 32 bytes: orders by order id, the others by their own digest.

    `verdicts_on` has the same verdicts, and `traces` what was shown, by the commitment that they are on; `observations`
    are by the verdict that rests on them.
    """

    epoch_id: int
    orders: dict[bytes, OrderEntry] = field(default_factory=dict)
    commitments: dict[bytes, CommitmentEntry] = field(default_factory=dict)
    verdicts: dict[bytes, VerdictEntry] = field(default_factory=dict)
    verdicts_on: dict[bytes, list[VerdictEntry]] = field(default_factory=dict)
    leases: dict[bytes, list[LeaseEntry]] = field(default_factory=dict)
    traces: dict[bytes, TraceEntry] = field(default_factory=dict)
    observations: dict[bytes, ObservationEntry] = field(default_factory=dict)
    rows: list[RowEntry] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """A row that pays a job, with the records behind it. `trace`: what was shown of it in the epochs read so far."""

    epoch_id: int
    row: RowEntry
    order: OrderEntry
    commitment: CommitmentEntry
    manifest: Manifest
    trace: TraceEntry | None = None

    @property
    def params(self) -> dict[str, int]:
        """The parameters that its workload has."""
        return self.order.order.terms.params.of(self.manifest.params)

    @property
    def is_native(self) -> bool:
        """Whether it is compared across numeric classes, and no case can be opened on it."""
        return self.manifest.comparator == "native"

    @property
    def digest(self) -> bytes:
        """The commitment's digest, which is the row's."""
        return from_hex(self.row.digest)


class LogBook:
    """All epochs' records read so far. Manifests are published once, so later epochs lean on earlier ones."""

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.epochs: dict[int, EpochLog] = {}
        self._manifests: dict[str, Manifest] = {}

    def add(self, epoch_id: int, entries: Iterable[LogEntry]) -> EpochLog:
        """Files an epoch's entries under their ids."""
        log = EpochLog(epoch_id)
        for entry in entries:
            self._file(log, entry)
        self.epochs[epoch_id] = log
        return log

    def _file(self, log: EpochLog, entry: LogEntry) -> None:
        match entry:
            case WorkloadEntry():
                with suppress(ValidationError):  # of a release that this one does not know: then its jobs are unknown
                    manifest = Manifest.model_validate(entry.manifest)
                    self._manifests[manifest.workload_id()] = manifest
            case OrderEntry():
                log.orders[self.domain.order_id(entry.order)] = entry
            case LeaseEntry():
                log.leases.setdefault(from_hex(entry.lease.order_id), []).append(entry)
            case CommitmentEntry():
                log.commitments[self.domain.commitment_digest(entry.commitment)] = entry
            case VerdictEntry():
                log.verdicts[self.domain.verdict_digest(entry.verdict)] = entry
                log.verdicts_on.setdefault(from_hex(entry.verdict.commitment_digest), []).append(entry)
            case TraceEntry():
                log.traces[from_hex(entry.commitment_digest)] = entry
            case ObservationEntry():
                log.observations[from_hex(entry.verdict_digest)] = entry
            case RowEntry():
                log.rows.append(entry)

    def manifest(self, workload_id: str) -> Manifest:
        """The manifest that hashes to this workload. Raises WorkloadUnknown."""
        if workload_id not in self._manifests:
            raise WorkloadUnknown(workload_id)
        return self._manifests[workload_id]

    def job(self, epoch_id: int, row: RowEntry) -> Job | None:
        """The job that a row pays, or None where its commitment, order or manifest was not published."""
        log = self.epochs[epoch_id]
        commitment = log.commitments.get(from_hex(row.digest))
        order = log.orders.get(from_hex(commitment.commitment.order_id)) if commitment else None
        if commitment is None or order is None or order.order.terms.workload_id not in self._manifests:
            return None
        manifest = self.manifest(order.order.terms.workload_id)
        return Job(epoch_id, row, order, commitment, manifest, self.trace_of(from_hex(row.digest)))

    def jobs(self, epoch_id: int) -> list[Job]:
        """All jobs of an epoch, in row order."""
        found = (self.job(epoch_id, row) for row in self.epochs[epoch_id].rows)
        return [job for job in found if job is not None]

    def job_of(self, digest: bytes) -> Job | None:
        """The job whose row has this commitment's digest, in the epochs read so far."""
        found = next((log for log in self.epochs.values() if digest in log.commitments), None)
        rows = [] if found is None else [row for row in found.rows if from_hex(row.digest) == digest]
        return self.job(found.epoch_id, rows[0]) if found is not None and rows else None

    def trace_epoch(self, digest: bytes) -> int | None:
        """The first epoch in whose log the trace behind a commitment stands."""
        return min((epoch_id for epoch_id, log in self.epochs.items() if digest in log.traces), default=None)

    def trace_of(self, digest: bytes) -> TraceEntry | None:
        """What was first published of the trace behind a commitment."""
        epoch_id = self.trace_epoch(digest)
        return None if epoch_id is None else self.epochs[epoch_id].traces[digest]

    def last_trace_of(self, node: str) -> TraceEntry | None:
        """The trace of a native job that a node has shown last."""
        for _, log in sorted(self.epochs.items(), reverse=True):
            for digest, entry in log.traces.items():
                job = self.job_of(digest)
                if job is not None and job.is_native and job.commitment.commitment.node == node:
                    return entry
        return None

    def observations_on(self, digest: bytes, until: int) -> list[tuple[str, str]]:
        """Verifier and blob of each observation on a commitment that the logs up to an epoch hold, by verifier."""
        logs = [log for epoch_id, log in sorted(self.epochs.items()) if epoch_id <= until]
        entries = [entry for log in logs for entry in log.verdicts_on.get(digest, [])]
        rests_on = {key: entry.observation for log in logs for key, entry in log.observations.items()}
        signed = [(entry.verdict.verifier, self.domain.verdict_digest(entry.verdict)) for entry in entries]
        return sorted((verifier, rests_on[key]) for verifier, key in signed if key in rests_on)

    def verdicts_on(self, digest: bytes) -> list[VerdictEntry]:
        """All published verdicts on a commitment."""
        return [entry for log in self.epochs.values() for entry in log.verdicts_on.get(digest, [])]


def read_epoch(book: LogBook, posted: PostedEpoch, lines: Sequence[bytes]) -> EpochLog:
    """Files lines that are exactly what `posted` commits to. Raises WrongLog."""
    found = log_root(lines)
    if found != posted.log_root:
        raise WrongLog(
            what=f"logRoot of epoch {posted.epoch_id}", expected=to_hex(posted.log_root), found=to_hex(found)
        )
    log = book.add(posted.epoch_id, [parse_line(line) for line in lines])
    root = merkle_root(leaves(log))
    if root != posted.root:
        raise WrongLog(what=f"root of epoch {posted.epoch_id}", expected=to_hex(posted.root), found=to_hex(root))
    return log


def leaves(log: EpochLog) -> list[bytes]:
    """The leaves of an epoch's rows, in order."""
    return [entry.row().leaf() for entry in log.rows]
