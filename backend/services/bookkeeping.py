"""Keeps the ledger in step with the confirmed events, and holds it against what the contracts hold."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, select

from backend.chain.escrow_reads import Holding, holdings
from backend.domain import ledger
from backend.store.chain_tables import BlockRow, ChainEventRow, LedgerEntryRow, SettlementRow
from backend.store.database import Database
from contracts.onchain.chain import Chain
from contracts.protocol.constants import Constants
from contracts.protocol.packing import from_bits, unpack

_log = logging.getLogger(__name__)

_Key = tuple[int, str, int, int, str]
"""Block number, block hash, log index, line, account: what a posting's line is known by."""


@dataclass(frozen=True)
class Reconciliation:
    """One contract at one block, base units. `unexplained_wei` = held - owed - donated, which is zero.

    `held`: its tokens. `owed`: by our ledger. `donated`: tokens beyond what the contract itself says it owes.
    """

    contract: str
    address: str
    block_number: int
    held_wei: int
    owed_wei: int
    donated_wei: int

    @property
    def unexplained_wei(self) -> int:
        """The public figure; below zero it is a deficit."""
        return self.held_wei - self.owed_wei - self.donated_wei


def post(session: Session, events: Sequence[ChainEventRow], constants: Constants) -> None:
    """Posts events to the ledger, in the transaction that stores them. Their settlements are in the session."""
    for event in events:
        session.add_all(_lines(session, event, constants))


def reverse(session: Session, ancestor: int) -> None:
    """Appends the opposite of every entry above block `ancestor` that still counts."""
    query = select(LedgerEntryRow).where(LedgerEntryRow.block_number > ancestor).order_by(col(LedgerEntryRow.id))
    rows = session.exec(query).all()
    net = _net(rows)
    last = {_key(row): row for row in rows}
    for key, amount in net.items():
        if amount:
            row = last[key].model_dump(exclude={"id"}) | {"amount": -amount, "reversal": True}
            session.add(LedgerEntryRow(**row))


def balances(session: Session) -> dict[str, int]:
    """Account -> units. Summed here: SQLite would add the amounts as floats."""
    rows = session.exec(select(LedgerEntryRow.account, LedgerEntryRow.amount))
    return ledger.balances(ledger.Entry(account, amount) for account, amount in rows)


def rebuild(session: Session, constants: Constants) -> dict[str, tuple[int, int]]:
    """Replays every stored event into a ledger of its own and compares line by line.

    Returns what differs: a line's place -> (units in the ledger, units replayed). Empty when they are identical.
    """
    query = select(ChainEventRow).order_by(col(ChainEventRow.block_number), col(ChainEventRow.log_index))
    replayed = _net(line for event in session.exec(query).all() for line in _lines(session, event, constants))
    return _differences(_net(session.exec(select(LedgerEntryRow))), replayed)


def differences(kept: Session, replayed: Session, until_block: int) -> dict[str, tuple[int, int]]:
    """What differs between two databases' ledgers up to a block, as `rebuild` tells it."""
    query = select(LedgerEntryRow).where(LedgerEntryRow.block_number <= until_block)
    return _differences(_net(kept.exec(query)), _net(replayed.exec(query)))


def _differences(kept: dict[_Key, int], replayed: dict[_Key, int]) -> dict[str, tuple[int, int]]:
    return {
        f"block {key[0]} ({key[1]}), log {key[2]}, line {key[3]}, {key[4]}": (kept.get(key, 0), replayed.get(key, 0))
        for key in sorted(kept.keys() | replayed.keys())
        if kept.get(key, 0) != replayed.get(key, 0)
    }


def reconcile(database: Database, chain: Chain) -> list[Reconciliation]:
    """Each contract against the ledger, at the newest block that the ledger knows. Logs a deficit as an error."""
    with database.read() as session:
        number = session.exec(select(BlockRow.number).order_by(col(BlockRow.number).desc())).first()
        accounts = balances(session)
    if number is None:
        return []
    found = compare(accounts, holdings(chain, number), number, chain.deployment.constants.unit_wei)
    for one in found:
        if one.unexplained_wei or one.held_wei < one.owed_wei:
            _log.error("ledger: %s has %d unexplained wei at block %d", one.contract, one.unexplained_wei, number)
    return found


def compare(
    accounts: dict[str, int], held: Iterable[Holding], block_number: int, unit_wei: int
) -> list[Reconciliation]:
    """What contracts hold at a block against what the ledger says that they owe."""
    return [
        Reconciliation(
            contract=one.contract,
            address=one.address,
            block_number=block_number,
            held_wei=one.held_wei,
            owed_wei=_OWED[one.contract](accounts) * unit_wei,
            donated_wei=max(0, one.held_wei - one.own_wei),
        )
        for one in held
    ]


_OWED: dict[str, Callable[[dict[str, int]], int]] = {
    "JobEscrow": ledger.escrow_owes,
    "StakeManager": ledger.stakes_owed,
    "Contests": ledger.contests_owe,
}
"""Contract -> units that the ledger says it owes."""


def _lines(session: Session, event: ChainEventRow, constants: Constants) -> list[LedgerEntryRow]:
    settled = None
    if event.name == "EpochSettled":
        row = session.get_one(SettlementRow, event.args["id"])
        settled = settled_rows(row, _row_count(session, event.args["id"]))
    return [
        LedgerEntryRow(
            block_number=event.block_number, block_hash=event.block_hash, log_index=event.log_index, line=line,
            reversal=False, account=entry.account, amount=entry.amount, reason=event.name,
        )
        for line, entry in enumerate(ledger.posting(event.name, event.args, settled, constants))
    ]  # fmt: skip


def settled_rows(row: SettlementRow, count: int) -> ledger.SettledRows:
    """The rows in a settlement's calldata."""
    epoch = unpack(row.packed, count)
    return ledger.SettledRows(epoch.rows, epoch.void, from_bits(row.skipped_bits, count))


def _row_count(session: Session, epoch_id: int) -> int:
    query = select(ChainEventRow).where(
        ChainEventRow.name == "EpochPosted", col(ChainEventRow.args)["id"].as_integer() == epoch_id
    )
    return int(session.exec(query).one().args["count"])


def _key(row: LedgerEntryRow) -> _Key:
    return row.block_number, row.block_hash, row.log_index, row.line, row.account


def _net(rows: Iterable[LedgerEntryRow]) -> dict[_Key, int]:
    totals: dict[_Key, int] = defaultdict(int)
    for row in rows:
        totals[_key(row)] += row.amount
    return dict(totals)
