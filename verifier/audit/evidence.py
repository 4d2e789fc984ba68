"""The evidence of an audit, read once: the chain's events, the log's lines, and the calldata of settlements."""

from dataclasses import dataclass, field

from contracts.onchain.chain import Chain
from contracts.onchain.events import Block
from contracts.protocol.constants import Constants
from contracts.protocol.errors import MalformedEpoch, ProtocolError
from contracts.protocol.log import LogEntry, RowEntry, log_root
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.packing import Epoch, bits, unpack
from contracts.protocol.typed_data import Domain
from contracts.record.errors import LogUnavailable
from contracts.record.history import History, read_history
from contracts.record.log_book import LogBook, entries_of
from contracts.record.log_source import LogSource, published_lines
from verifier.audit.report import Findings


@dataclass
class AuditEvidence:
    """`rows`: epoch -> row index -> the log's row. `packed`: the calldata of settled epochs, unpacked."""

    chain: Chain
    history: History
    head: Block
    book: LogBook
    source: LogSource
    findings: Findings
    rows: dict[int, dict[int, RowEntry]] = field(default_factory=dict)
    packed: dict[int, Epoch] = field(default_factory=dict)

    @property
    def domain(self) -> Domain:
        return self.chain.deployment.domain

    @property
    def constants(self) -> Constants:
        return self.chain.deployment.constants

    def leaf(self, epoch_id: int, index: int) -> Row | None:
        """A row from the log or, if the log lacks it, from the calldata."""
        entry = self.rows.get(epoch_id, {}).get(index)
        if entry is not None:
            return entry.row()
        epoch = self.packed.get(epoch_id)
        return epoch.rows[index] if epoch is not None and index < len(epoch.rows) else None


def gather(chain: Chain, source: LogSource) -> AuditEvidence:
    """Reads everything up to the head. What cannot be read, or contradicts the chain's commitments, is a fault."""
    head = chain.head()
    history = read_history(chain, head.number)
    evidence = AuditEvidence(chain, history, head, LogBook(chain.deployment.domain), source, Findings())
    for epoch_id in sorted(history.epochs):
        _read_log(evidence, source, epoch_id)
        if epoch_id in history.settled:
            _read_calldata(evidence, epoch_id)
    return evidence


def _read_log(evidence: AuditEvidence, source: LogSource, epoch_id: int) -> None:
    posted = evidence.history.epochs[epoch_id]
    findings = evidence.findings
    try:
        lines = published_lines(source, posted)
    except LogUnavailable as error:
        findings.expect("the epoch's log can be read", "a log", str(error), epoch=epoch_id)
        lines = []
    else:
        findings.expect("the log's lines rebuild logRoot", posted.log_root, log_root(lines), epoch=epoch_id)
    entries = _parse(findings, epoch_id, lines)
    log = evidence.book.add(epoch_id, entries)
    rows = {entry.index: entry for entry in log.rows}
    evidence.rows[epoch_id] = rows
    for index in range(posted.count):
        findings.expect("the log holds the row", True, index in rows, epoch=epoch_id, row=index)
    indices = [entry.index for entry in log.rows]
    findings.expect("the log's rows stand in order", list(range(posted.count)), indices, epoch=epoch_id)
    root = merkle_root([row.leaf() for row in log.leaves])
    findings.expect("the log's rows rebuild the posted root", posted.root, root, epoch=epoch_id)


def _parse(findings: Findings, epoch_id: int, lines: list[bytes]) -> list[LogEntry]:
    entries: list[LogEntry] = []
    rows = 0
    for number, line in enumerate(lines, start=1):
        is_row = b'"kind":"row"' in line
        try:
            entries += entries_of([line])
        except ProtocolError as error:
            rule = f"line {number} of the log is a canonical entry"
            findings.expect(rule, "an entry", str(error), epoch=epoch_id, row=rows if is_row else None)
        rows += is_row
    return entries


def _read_calldata(evidence: AuditEvidence, epoch_id: int) -> None:
    posted, settled = evidence.history.epochs[epoch_id], evidence.history.settled[epoch_id]
    findings = evidence.findings
    try:
        epoch = unpack(evidence.chain.packed_epoch(settled.tx_hash), posted.count)
    except MalformedEpoch as error:
        findings.expect("the settlement's calldata is an epoch", "packed rows", str(error), epoch=epoch_id)
        return
    evidence.packed[epoch_id] = epoch
    logged = evidence.rows[epoch_id]
    for index, row in enumerate(epoch.rows):
        if index in logged:
            rule = "the log's row is the settlement's"
            findings.expect(rule, row, logged[index].row(), epoch=epoch_id, row=index)
    voids = bits(epoch.void, posted.count)
    findings.expect("the event names the calldata's VOID rows", voids, settled.void_bits, epoch=epoch_id)
    root = merkle_root([row.leaf() for row in epoch.rows])
    findings.expect("the settlement's rows rebuild the posted root", posted.root, root, epoch=epoch_id)
