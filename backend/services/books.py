"""The public figure: what the contracts hold against the ledger that was replayed from their events. Unexplained: 0."""

from sqlmodel import col, select

from backend.chain.views import ChainView
from backend.services.bookkeeping import Reconciliation, balances, compare
from backend.store.chain_tables import BlockRow
from backend.store.database import Database
from contracts.onchain.errors import ChainUnavailable, RequestRefused
from contracts.protocol.wire import BooksView, ContractBooks


class Books:
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
        except RequestRefused as error:  # the endpoint no longer knows, or does not know yet, the state of that block
            raise ChainUnavailable(f"the chain as of block {block.number}", str(error)) from error
        found = compare(accounts, held, block.number, self._unit_wei)
        self._last = (block.hash, found)
        return found
