"""Compares the ledger with what the contracts hold, for the worker's log and for GET /v1/books."""

import logging
from collections.abc import Iterable, Mapping

from backend.chain.escrow_reads import Holding, holdings
from backend.chain.views import ChainView
from backend.domain.ledger import owed_by
from backend.store.database import Database
from backend.store.facts import newest_block
from backend.store.ledger import balances
from contracts.onchain.chain import Chain
from contracts.onchain.errors import ChainUnavailable, RequestRefused, Reverted
from contracts.protocol.wire import BooksView, ContractBooks

_log = logging.getLogger(__name__)


def reconcile(database: Database, chain: Chain) -> tuple[int, list[ContractBooks]]:
    """Each contract at the newest block that the ledger has, and that block's number. Logs a deficit as an error."""
    with database.read() as session:
        block, accounts = newest_block(session), balances(session)
    if block is None:
        return 0, []
    books = _books(accounts, holdings(chain, block.number), chain.deployment.constants.unit_wei)
    for one in books:
        if one.unexplained_wei or one.held_wei < one.owed_wei:
            _log.error("ledger: %s has %d unexplained wei at block %d", one.contract, one.unexplained_wei, block.number)
    return block.number, books


def _books(accounts: Mapping[str, int], held: Iterable[Holding], unit_wei: int) -> list[ContractBooks]:
    """`owed_wei` is by our ledger; `donated_wei` are tokens beyond what the contract itself says it owes."""
    books = []
    for one in held:
        owed_wei, donated_wei = owed_by(one.contract, accounts) * unit_wei, max(0, one.held_wei - one.own_wei)
        books.append(
            ContractBooks(
                contract=one.contract,
                address=one.address,
                held_wei=one.held_wei,
                owed_wei=owed_wei,
                donated_wei=donated_wei,
                unexplained_wei=one.held_wei - owed_wei - donated_wei,
            )
        )
    return books


class PublicBooks:
    """The books as of the newest block that the ledger has, computed once per block."""

    def __init__(self, database: Database, chain: ChainView, unit_wei: int) -> None:
        self._database, self._chain, self._unit_wei = database, chain, unit_wei
        self._last: tuple[str, BooksView] | None = None

    def view(self) -> BooksView:
        """Tokens held, owed, donated, unexplained, by contract. Raises ChainUnavailable."""
        last, token = self._last, self._chain.token()
        with self._database.read() as session:
            block = newest_block(session)
            if last is not None and block is not None and last[0] == block.hash:
                return last[1]
            accounts = balances(session)
        books = []
        if block is not None:
            try:
                books = _books(accounts, self._chain.holdings(block.number), self._unit_wei)
            except (Reverted, RequestRefused) as error:  # the endpoint does not have the state of that block (yet)
                raise ChainUnavailable(f"the chain as of block {block.number}", str(error)) from error
        view = BooksView(
            block_number=None if block is None else block.number,
            token_symbol=token.symbol,
            token_decimals=token.decimals,
            contracts=books,
            unexplained_wei=sum(one.unexplained_wei for one in books),
        )
        self._last = None if block is None else (block.hash, view)
        return view
