"""A node in memory that misbehaves on demand: a TxPort.

Mines in the order of nonces, one transaction per nonce, as a chain does. Contract calls succeed unless listed.
"""

from dataclasses import dataclass, field

from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hexbytes import HexBytes

from backend.chain.errors import NodeRefused, Refusal
from backend.chain.tx_state import Mined
from contracts.onchain.errors import ChainUnavailable
from contracts.protocol.hashing import keccak, to_hex

_REPLACEMENT_PERCENT = 110


@dataclass(frozen=True)
class PooledTransaction:
    """A signed transaction as the fake reads it."""

    tx_hash: str
    sender: str
    nonce: int
    max_fee_wei: int
    data: bytes


@dataclass
class FakeNode:
    """`lose_replies`: that many sends are taken and answered with a broken line. `drop`: that many are taken and
    forgotten. `least_fee_wei`: below it nothing is mined. `reverting`: call data whose transactions revert.
    """

    lose_replies: int = 0
    drop: int = 0
    least_fee_wei: int = 0
    base_fee: int = 10**9
    reverting: set[bytes] = field(default_factory=set)
    pool: dict[tuple[str, int], PooledTransaction] = field(default_factory=dict)
    blocks: list[list[PooledTransaction]] = field(default_factory=lambda: [[]])
    sends: int = 0

    def chain_id(self) -> int:
        return 31337

    def head(self) -> int:
        return len(self.blocks) - 1

    def base_fee_wei(self) -> int:
        return self.base_fee

    def nonce(self, sender: str, block_number: int | None = None) -> int:
        last = self.head() if block_number is None else block_number
        return sum(1 for block in self.blocks[: last + 1] for one in block if one.sender == sender)

    def send(self, raw: bytes) -> None:
        self.sends += 1
        transaction = _read(raw)
        place = (transaction.sender, transaction.nonce)
        if transaction.nonce < self.nonce(transaction.sender):
            raise NodeRefused(Refusal.NONCE_TOO_LOW, "nonce too low")
        present = self.pool.get(place)
        if present is not None and present.tx_hash == transaction.tx_hash:
            raise NodeRefused(Refusal.KNOWN, "already known")
        if present is not None and transaction.max_fee_wei * 100 < present.max_fee_wei * _REPLACEMENT_PERCENT:
            raise NodeRefused(Refusal.UNDERPRICED, "replacement transaction underpriced")
        if self.drop > 0:
            self.drop -= 1
            return
        self.pool[place] = transaction
        if self.lose_replies > 0:
            self.lose_replies -= 1
            raise ChainUnavailable("the fake node", "the reply was lost")

    def known(self, tx_hash: str) -> bool:
        return any(one.tx_hash == tx_hash for one in self.pool.values()) or self.receipt(tx_hash) is not None

    def receipt(self, tx_hash: str) -> Mined | None:
        for number, block in enumerate(self.blocks):
            for one in block:
                if one.tx_hash == tx_hash:
                    return Mined(tx_hash, number, one.data not in self.reverting, 21_000)
        return None

    def revert_reason(self, sender: str, to: str, data: bytes, gas: int, block_number: int) -> str:
        return "the contract refused: Fake_Refused()"

    def mine(self, blocks: int = 1) -> None:
        """Mines what may be mined, then empty blocks."""
        for _ in range(blocks):
            mined: list[PooledTransaction] = []
            self.blocks.append(mined)
            for place in sorted(self.pool):
                one = self.pool[place]
                if one.nonce == self.nonce(one.sender) and one.max_fee_wei >= self.least_fee_wei:
                    mined.append(self.pool.pop(place))

    def forget_pool(self) -> None:
        """As after a restart of the node."""
        self.pool.clear()

    def reorg(self, depth: int, *, return_to_pool: bool) -> None:
        """Replaces the newest blocks by empty ones."""
        orphaned = [one for block in self.blocks[-depth:] for one in block]
        self.blocks[-depth:] = [[] for _ in range(depth)]
        if return_to_pool:
            self.pool.update({(one.sender, one.nonce): one for one in orphaned})


def _read(raw: bytes) -> PooledTransaction:
    fields = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
    sender = str(Account.recover_transaction(raw)).lower()
    return PooledTransaction(
        to_hex(keccak(raw)), sender, fields["nonce"], fields["maxFeePerGas"], bytes(fields["data"])
    )
