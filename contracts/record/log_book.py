"""The published lines of all epochs as records, indexed by their ids. Pure.

`read_epoch` is strict, for parties that act on the log: the chain must have committed to the lines. The auditor adds
line by line with `LogBook.add`, so that it can name the first wrong line.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

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
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.typed_data import Domain
from contracts.record.errors import LogUnavailable, WorkloadUnknown, WrongFact, WrongLog
from contracts.record.facts import JobRow, ShownTrace
from contracts.record.history import PostedEpoch
from contracts.record.log_source import LogSource

_V = TypeVar("_V")


@dataclass
class EpochLog:
    """The records of one epoch by digest, 32 bytes: orders by order id, commitments and verdicts by their own digest,
    leases by their order's, traces by their commitment's, observations by their verdict's."""

    epoch_id: int
    orders: dict[bytes, OrderEntry] = field(default_factory=dict)
    commitments: dict[bytes, CommitmentEntry] = field(default_factory=dict)
    verdicts: dict[bytes, VerdictEntry] = field(default_factory=dict)
    leases: dict[bytes, list[LeaseEntry]] = field(default_factory=dict)
    traces: dict[bytes, TraceEntry] = field(default_factory=dict)
    observations: dict[bytes, ObservationEntry] = field(default_factory=dict)
    rows: list[RowEntry] = field(default_factory=list)

    @property
    def leaves(self) -> list[Row]:
        """The rows in order, as the epoch's root hashes them."""
        return [entry.row() for entry in self.rows]

    def behind(self, row: RowEntry) -> tuple[CommitmentEntry, OrderEntry]:
        """The commitment and the order of a job's row. Raises WrongFact if one is missing."""
        commitment = self.commitments.get(from_hex(row.digest))
        if commitment is None:
            raise WrongFact("the log holds the row's commitment", expected=row.digest, found="none with this digest")
        wanted = commitment.commitment.order_id
        order = self.orders.get(from_hex(wanted))
        if order is None:
            raise WrongFact("the log holds the commitment's order", expected=wanted, found="none with this id")
        return commitment, order

    def rows_of_order(self, order_id: str) -> list[int]:
        """The rows that charge an order (0x hex id)."""
        named = {to_hex(key) for key, entry in self.commitments.items() if entry.commitment.order_id == order_id}
        return [index for index, row in enumerate(self.rows) if row.digest in named]


@dataclass(frozen=True)
class PaidJob:
    """A row that pays a job, with its records. `trace`: as shown in the epochs read so far."""

    epoch_id: int
    row: RowEntry
    order: OrderEntry
    commitment: CommitmentEntry
    manifest: Manifest
    trace: TraceEntry | None = None

    @property
    def params(self) -> dict[str, int]:
        """The parameters of its workload, with the order's values."""
        return self.order.order.terms.params.of(self.manifest.params)

    @property
    def is_native(self) -> bool:
        """Whether it is compared across numeric classes. No case can be opened on such work."""
        return self.manifest.comparator == "native"

    @property
    def digest(self) -> bytes:
        """The commitment's digest, which is the row's."""
        return from_hex(self.row.digest)

    @property
    def as_row(self) -> JobRow:
        """The row as the sample sees it."""
        price = self.order.order.terms.max_price
        return JobRow(self.row.index, self.digest, self.row.operator_id, price, self.manifest)


class LogBook:
    """The records of the epochs read so far, in any order, by digest.

    Of a record that is published twice the first counts. `forget` bounds memory: it keeps only what a later epoch may
    refer to, which is manifests, and native jobs whose trace was not shown yet.
    """

    def __init__(self, domain: Domain) -> None:
        self.domain = domain
        self.epochs: dict[int, EpochLog] = {}
        self._manifests: dict[str, Manifest] = {}
        self._paid_in: dict[bytes, tuple[int, RowEntry]] = {}
        self._traces: dict[bytes, tuple[int, TraceEntry]] = {}
        self._verdicts: dict[bytes, tuple[int, VerdictEntry]] = {}
        self._verdicts_on: dict[bytes, list[bytes]] = {}
        self._observations: dict[bytes, tuple[int, str]] = {}
        self._folded = self._forgotten = 0
        self._unshown: dict[bytes, PaidJob] = {}
        self._counted: set[bytes] = set()
        self._shown: dict[int, list[ShownTrace]] = {}
        self._last_trace: dict[str, TraceEntry] = {}

    def __contains__(self, epoch_id: int) -> bool:
        """Whether this epoch was read, even if it is forgotten by now."""
        return epoch_id in self.epochs or epoch_id <= self._forgotten

    # ------------------------------------------------------------ filing

    def add(self, epoch_id: int, entries: Iterable[LogEntry]) -> EpochLog:
        """Indexes an epoch's entries."""
        log = self.epochs[epoch_id] = EpochLog(epoch_id)
        for entry in entries:
            self._file(log, entry)
        while self._folded + 1 in self.epochs:
            self._fold(self.epochs[self._folded + 1])
        return log

    def _file(self, log: EpochLog, entry: LogEntry) -> None:
        match entry:
            case WorkloadEntry():
                with suppress(ValidationError):  # another release's manifest; its jobs stay unknown
                    manifest = Manifest.model_validate(entry.manifest)
                    self._manifests[manifest.workload_id()] = manifest
            case OrderEntry():
                log.orders[self.domain.order_id(entry.order)] = entry
            case LeaseEntry():
                log.leases.setdefault(from_hex(entry.lease.order_id), []).append(entry)
            case CommitmentEntry():
                log.commitments[self.domain.commitment_digest(entry.commitment)] = entry
            case VerdictEntry():
                self._file_verdict(log, entry)
            case TraceEntry():
                log.traces[from_hex(entry.commitment_digest)] = entry
                _first(self._traces, from_hex(entry.commitment_digest), log.epoch_id, entry)
            case ObservationEntry():
                log.observations[from_hex(entry.verdict_digest)] = entry
                _first(self._observations, from_hex(entry.verdict_digest), log.epoch_id, entry.observation)
            case RowEntry():
                log.rows.append(entry)
                _first(self._paid_in, from_hex(entry.digest), log.epoch_id, entry)

    def _file_verdict(self, log: EpochLog, entry: VerdictEntry) -> None:
        digest, on = self.domain.verdict_digest(entry.verdict), from_hex(entry.verdict.commitment_digest)
        log.verdicts[digest] = entry
        if digest not in self._verdicts:
            self._verdicts_on.setdefault(on, []).append(digest)
        _first(self._verdicts, digest, log.epoch_id, entry)

    def _fold(self, log: EpochLog) -> None:
        """Notes the native work whose trace this epoch shows first. All epochs before it were read."""
        self._folded = log.epoch_id
        jobs = self.jobs(log.epoch_id)
        self._unshown |= {job.digest: job for job in jobs if job.is_native and job.digest not in self._counted}
        shown = []
        for digest, entry in sorted(log.traces.items()):
            job = self._unshown.pop(digest, None)
            if job is None:
                continue
            self._counted.add(digest)
            commitment, weights = job.commitment.commitment, job.manifest.weights_sha256
            seen = tuple(self.observations_on(digest, until=log.epoch_id))
            shown.append(ShownTrace(digest, commitment, job.row.operator_id, weights, entry.trace, seen))
            self._last_trace[commitment.node] = entry
        self._shown[log.epoch_id] = shown

    def forget(self, epoch_id: int) -> None:
        """Drops the records of an epoch and those before it, once they can have no more cases or contests."""
        for old in range(self._forgotten + 1, min(epoch_id, self._folded) + 1):
            log = self.epochs.pop(old)
            self._forgotten = old
            for row in log.rows:
                self._paid_in.pop(from_hex(row.digest), None)
            named = {from_hex(entry.verdict.commitment_digest) for entry in log.verdicts.values()}
            for digest in {from_hex(row.digest) for row in log.rows} | log.traces.keys() | named:
                if digest not in self._unshown and digest not in self._paid_in:
                    self._drop(digest)

    def _drop(self, digest: bytes) -> None:
        self._traces.pop(digest, None)
        for verdict in self._verdicts_on.pop(digest, []):
            del self._verdicts[verdict]
            self._observations.pop(verdict, None)

    # ------------------------------------------------------------ finding

    def manifest(self, workload_id: str) -> Manifest:
        """Raises WorkloadUnknown."""
        if workload_id not in self._manifests:
            raise WorkloadUnknown(workload_id)
        return self._manifests[workload_id]

    def job(self, epoch_id: int, row: RowEntry) -> PaidJob | None:
        """The job that a row pays; None if its commitment, order or manifest was not published."""
        log = self.epochs[epoch_id]
        commitment = log.commitments.get(from_hex(row.digest))
        order = log.orders.get(from_hex(commitment.commitment.order_id)) if commitment else None
        if commitment is None or order is None or order.order.terms.workload_id not in self._manifests:
            return None
        manifest = self.manifest(order.order.terms.workload_id)
        return PaidJob(epoch_id, row, order, commitment, manifest, self.trace_of(from_hex(row.digest)))

    def require_job(self, epoch_id: int, row: RowEntry) -> PaidJob:
        """The job that a row pays. Raises WrongFact or WorkloadUnknown if one of its records is missing."""
        _, order = self.epochs[epoch_id].behind(row)
        self.manifest(order.order.terms.workload_id)
        job = self.job(epoch_id, row)
        assert job is not None, "all its records were just found"
        return job

    def job_at(self, epoch_id: int, index: int) -> PaidJob | None:
        """The job in a row; None if the epoch's log is not held."""
        log = self.epochs.get(epoch_id)
        return None if log is None or index >= len(log.rows) else self.job(epoch_id, log.rows[index])

    def jobs(self, epoch_id: int) -> list[PaidJob]:
        """All jobs of an epoch, in row order."""
        found = (self.job(epoch_id, row) for row in self.epochs[epoch_id].rows)
        return [job for job in found if job is not None]

    def job_of(self, digest: bytes) -> PaidJob | None:
        """The job with this commitment's digest, from the first row that pays it."""
        found = self._paid_in.get(digest)
        return None if found is None else self.job(*found)

    def answer_to(self, order_id: str) -> CommitmentEntry | None:
        """The newest commitment to an order (0x hex id)."""
        for _, log in sorted(self.epochs.items(), reverse=True):
            for entry in log.commitments.values():
                if entry.commitment.order_id == order_id:
                    return entry
        return None

    def trace_epoch(self, digest: bytes) -> int | None:
        """The first epoch whose log has a commitment's trace."""
        found = self._traces.get(digest)
        return None if found is None else found[0]

    def trace_of(self, digest: bytes) -> TraceEntry | None:
        """The first published trace of a commitment."""
        found = self._traces.get(digest)
        return None if found is None else found[1]

    def last_trace_of(self, node: str) -> TraceEntry | None:
        """The last trace of a native job that a node has shown, as far as the log was read without a gap."""
        return self._last_trace.get(node)

    def observation_of(self, verdict: bytes) -> tuple[int, str] | None:
        """The first epoch whose log has a verdict's observation, and the blob's name."""
        return self._observations.get(verdict)

    def observations_on(self, digest: bytes, until: int) -> list[tuple[str, str]]:
        """(verifier, blob's name) of each observation on a commitment in the logs up to an epoch, in order."""
        found = []
        for verdict in self._verdicts_on.get(digest, []):
            epoch_id, entry = self._verdicts[verdict]
            seen = self._observations.get(verdict)
            if seen is not None and max(epoch_id, seen[0]) <= until:
                found.append((entry.verdict.verifier, seen[1]))
        return sorted(found)

    def verdicts_on(self, digest: bytes) -> list[VerdictEntry]:
        """Published verdicts on a commitment, each once."""
        return [self._verdicts[verdict][1] for verdict in self._verdicts_on.get(digest, [])]

    def verdict(self, digest: bytes, until: int) -> VerdictEntry | None:
        """A verdict by its own digest, in the logs up to an epoch."""
        found = self._verdicts.get(digest)
        return found[1] if found is not None and found[0] <= until else None

    def shown_in(self, epoch_id: int) -> list[ShownTrace]:
        """See Facts.shown_traces. Raises LogUnavailable if an epoch up to this one was not read."""
        if epoch_id > self._folded:
            raise LogUnavailable(what=f"epoch {self._folded + 1}", source="the log", why="it was not read")
        return self._shown[epoch_id]


@dataclass(frozen=True)
class LogFacts:
    """`Facts` over the lines read and the blobs that they name."""

    book: LogBook
    source: LogSource

    def job_rows(self, epoch_id: int) -> list[JobRow]:
        if epoch_id not in self.book.epochs:
            raise LogUnavailable(what=f"epoch {epoch_id}", source="the log", why="it was not read, or is forgotten")
        return [job.as_row for job in self.book.jobs(epoch_id)]

    def shown_traces(self, epoch_id: int) -> list[ShownTrace]:
        return self.book.shown_in(epoch_id)

    def blob(self, name: str) -> bytes:
        return self.source.blob(name)


def read_epoch(book: LogBook, posted: PostedEpoch, lines: Sequence[bytes]) -> EpochLog:
    """Adds lines that `posted` commits to. Raises as `parse_epoch` does, and adds nothing then."""
    return book.add(posted.epoch_id, parse_epoch(posted, lines))


def entries_of(lines: Iterable[bytes]) -> list[LogEntry]:
    """The entries of lines. Raises ProtocolError for a line that is no entry in canonical form."""
    return [parse_line(line) for line in lines]


def parse_epoch(posted: PostedEpoch, lines: Sequence[bytes]) -> list[LogEntry]:
    """The entries of lines that `posted` commits to. Raises WrongLog for other lines, ProtocolError for no entry."""
    found = log_root(lines)
    if found != posted.log_root:
        raise WrongLog(
            what=f"logRoot of epoch {posted.epoch_id}", expected=to_hex(posted.log_root), found=to_hex(found)
        )
    entries = entries_of(lines)
    root = merkle_root([entry.row().leaf() for entry in entries if isinstance(entry, RowEntry)])
    if root != posted.root:
        raise WrongLog(what=f"root of epoch {posted.epoch_id}", expected=to_hex(posted.root), found=to_hex(root))
    return entries


def _first(index: dict[bytes, tuple[int, _V]], key: bytes, epoch_id: int, value: _V) -> None:
    """Indexes `value` unless the key occurs in an earlier epoch, or earlier in this one."""
    if key not in index or epoch_id < index[key][0]:
        index[key] = epoch_id, value
