"""Posts confirmed events to the ledger, reverses them after a reorg, and sums the ledger up."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlmodel import Session, col, select

from backend.domain import ledger
from backend.store.chain_tables import ChainEventRow, LedgerEntryRow, SettlementRow
from backend.store.facts import events
from contracts.protocol.constants import Constants
from contracts.protocol.packing import from_bits, unpack

LineKey = tuple[int, str, int, int, str]
"""Block number, block hash, log index, line, account: identifies a line of a posting."""


def post(session: Session, rows: Sequence[ChainEventRow], constants: Constants) -> None:
    """Posts events to the ledger, in the transaction that stores them and, before this call, their settlements."""
    for row in rows:
        session.add_all(lines(session, row, constants))


def reverse(session: Session, ancestor: int) -> None:
    """Appends the opposite of every entry above block `ancestor` that still counts."""
    query = select(LedgerEntryRow).where(LedgerEntryRow.block_number > ancestor).order_by(col(LedgerEntryRow.id))
    rows = session.exec(query).all()
    last = {_key(row): row for row in rows}
    for key, amount in net(rows).items():
        if amount:
            row = last[key].model_dump(exclude={"id"}) | {"amount": -amount, "reversal": True}
            session.add(LedgerEntryRow(**row))


def balances(session: Session) -> dict[str, int]:
    """Account -> units. Summed here: SQLite would add the amounts as floats."""
    rows = session.exec(select(LedgerEntryRow.account, LedgerEntryRow.amount))
    return ledger.balances(ledger.Entry(account, amount) for account, amount in rows)


def lines(session: Session, event: ChainEventRow, constants: Constants) -> list[LedgerEntryRow]:
    settled = None
    if event.name == "EpochSettled":
        row = session.get_one(SettlementRow, event.args["id"])
        count: int = events(session, "EpochPosted", [row.epoch_id])[0].args["count"]
        epoch = unpack(row.packed, count)
        settled = ledger.PostedRows(epoch.rows, epoch.void, from_bits(row.skipped_bits, count))
    return [
        LedgerEntryRow(
            block_number=event.block_number, block_hash=event.block_hash, log_index=event.log_index, line=line,
            reversal=False, account=entry.account, amount=entry.amount, reason=event.name,
        )
        for line, entry in enumerate(ledger.posting(event.name, event.args, settled, constants))
    ]  # fmt: skip


def _key(row: LedgerEntryRow) -> LineKey:
    return row.block_number, row.block_hash, row.log_index, row.line, row.account


def net(rows: Iterable[LedgerEntryRow]) -> dict[LineKey, int]:
    """Each posting's line with its amount after reversals, units."""
    totals: dict[LineKey, int] = defaultdict(int)
    for row in rows:
        totals[_key(row)] += row.amount
    return dict(totals)
