"""The ledger held against what the contracts hold, for the worker's log and for the public figure. Unexplained: 0."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlmodel import col, select

from backend.chain.escrow_reads import Holding, holdings
from backend.chain.views import ChainView
from backend.domain import ledger
from backend.store.chain_tables import BlockRow
from backend.store.database import Database
from backend.store.ledger import balances
from contracts.onchain.chain import Chain
from contracts.onchain.errors import ChainUnavailable, RequestRefused, Reverted
from contracts.protocol.wire import BooksView, ContractBooks

_log = logging.getLogger(__name__)


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


class PublicBooks:
    """Reads the books as of the newest block that the ledger knows, once a block however many ask."""

    def __init__(self, database: Database, chain: ChainView, unit_wei: int) -> None:
        self._database, self._chain, self._unit_wei = database, chain, unit_wei
        self._last: tuple[str, list[Reconciliation]] | None = None

    def view(self) -> BooksView:
        """Tokens held, owed, donated, unexplained, by contract. Raises ChainUnavailable."""
        found, token = self._read(), self._chain.token()
        return BooksView(
            block_number=found[0].block_number if found else None,
            token_symbol=token.symbol,
            token_decimals=token.decimals,
            contracts=[
                ContractBooks(
                    contract=one.contract,
                    address=one.address,
                    held_wei=one.held_wei,
                    owed_wei=one.owed_wei,
                    donated_wei=one.donated_wei,
                    unexplained_wei=one.unexplained_wei,
                )
                for one in found
            ],
            unexplained_wei=sum(one.unexplained_wei for one in found),
        )

    def _read(self) -> list[Reconciliation]:
        last = self._last
        with self._database.read() as session:
            block = session.exec(select(BlockRow).order_by(col(BlockRow.number).desc())).first()
            if block is None:
                return []
            if last is not None and last[0] == block.hash:
                return last[1]
            accounts = balances(session)
        try:
            held = self._chain.holdings(block.number)
        except (Reverted, RequestRefused) as error:  # the endpoint does not know the state of that block (yet)
            raise ChainUnavailable(f"the chain as of block {block.number}", str(error)) from error
        found = compare(accounts, held, block.number, self._unit_wei)
        self._last = (block.hash, found)
        return found
