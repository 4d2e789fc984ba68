"""Keeps the ledger in step with the confirmed events, and holds it against what the contracts hold."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eth_utils.address import to_checksum_address
from sqlmodel import Session, col, select
from web3.contract import Contract

from backend.domain import ledger
from backend.store.chain_tables import BlockRow, ChainEventRow, LedgerEntryRow, SettlementRow
from backend.store.database import Database
from contracts.onchain.chain import Chain
from contracts.onchain.reverts import explain
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
    block_number: int
    held_wei: int
    owed_wei: int
    donated_wei: int

    @property
    def unexplained_wei(self) -> int:
        """The public figure; below zero it is a deficit."""
        return self.held_wei - self.owed_wei - self.donated_wei


def post(session: Session, events: Sequence[ChainEventRow], fee_bps: int) -> None:
    """Posts events to the ledger, in the transaction that stores them. Their settlements are in the session."""
    for event in events:
        session.add_all(_lines(session, event, fee_bps))


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


def rebuild(session: Session, fee_bps: int) -> dict[str, tuple[int, int]]:
    """Replays every stored event into a ledger of its own and compares line by line.

    Returns what differs: a line's place -> (units in the ledger, units replayed). Empty when they are identical.
    """
    kept = {key: amount for key, amount in _net(session.exec(select(LedgerEntryRow))).items() if amount}
    query = select(ChainEventRow).order_by(col(ChainEventRow.block_number), col(ChainEventRow.log_index))
    replayed = _net(line for event in session.exec(query).all() for line in _lines(session, event, fee_bps))
    return {
        f"block {key[0]} ({key[1]}), log {key[2]}, line {key[3]}, {key[4]}": (kept.get(key, 0), replayed.get(key, 0))
        for key in sorted(kept.keys() | replayed.keys())
        if kept.get(key, 0) != replayed.get(key, 0)
    }


def reconcile(database: Database, chain: Chain) -> list[Reconciliation]:
    """Both contracts against the ledger, at the newest block that the ledger knows. Logs a deficit as an error."""
    with database.read() as session:
        number = session.exec(select(BlockRow.number).order_by(col(BlockRow.number).desc())).first()
        accounts = balances(session)
    if number is None:
        return []
    unit = chain.deployment.constants.unit_wei
    found = [
        _reconcile(chain, "JobEscrow", chain.escrow, number, ledger.escrow_owes(accounts) * unit),
        _reconcile(chain, "StakeManager", chain.stakes, number, ledger.stakes_owed(accounts) * unit),
    ]
    for one in found:
        if one.unexplained_wei or one.held_wei < one.owed_wei:
            _log.error("ledger: %s has %d unexplained wei at block %d", one.contract, one.unexplained_wei, number)
    return found


def _reconcile(chain: Chain, name: str, contract: Contract, number: int, owed_wei: int) -> Reconciliation:
    with explain():
        balance = chain.token.functions.balanceOf(to_checksum_address(contract.address))
        held_wei = int(balance.call(block_identifier=number))
        own_wei = int(contract.functions.held().call(block_identifier=number))
    return Reconciliation(name, number, held_wei, owed_wei, max(0, held_wei - own_wei))


def _lines(session: Session, event: ChainEventRow, fee_bps: int) -> list[LedgerEntryRow]:
    settled = None
    if event.name == "EpochSettled":
        row = session.get_one(SettlementRow, event.args["id"])
        settled = settled_rows(row, _row_count(session, event.args["id"]))
    return [
        LedgerEntryRow(
            block_number=event.block_number, block_hash=event.block_hash, log_index=event.log_index, line=line,
            reversal=False, account=entry.account, amount=entry.amount, reason=event.name,
        )
        for line, entry in enumerate(ledger.posting(event.name, event.args, settled, fee_bps))
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
