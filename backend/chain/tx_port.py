"""The transaction manager's port to a chain's node, and the adapter over JSON-RPC."""

from typing import Protocol

from backend.chain.errors import NodeRefused, Refusal
from backend.chain.tx_state import Mined
from contracts.onchain.errors import NotKnown, RequestRefused, Reverted
from contracts.onchain.rpc import Rpc
from contracts.protocol.hashing import to_hex

_MESSAGES = (
    (Refusal.KNOWN, ("already known", "already imported", "known transaction", "already exists")),
    (Refusal.NONCE_TOO_LOW, ("nonce too low", "nonce is too low", "oldnonce")),
    (Refusal.UNDERPRICED, ("underpriced", "fee too low", "max fee per gas less", "gas price too low")),
    (Refusal.NO_FUNDS, ("insufficient funds", "insufficient balance")),
)
"""Parts of the messages of geth, reth, Anvil, Nethermind and py-evm."""


class TxPort(Protocol):
    """Exactly the node's methods that sending needs. Any may raise ChainUnavailable."""

    def chain_id(self) -> int:
        """The chain's id, which every signed transaction names."""

    def head(self) -> int:
        """Number of the latest block."""

    def base_fee_wei(self) -> int:
        """Base fee of the latest block, wei per gas."""

    def nonce(self, sender: str, block_number: int | None = None) -> int:
        """How many transactions of `sender` are mined, up to a block or the latest."""

    def send(self, raw: bytes) -> None:
        """Sends a signed transaction. Raises NodeRefused."""

    def known(self, tx_hash: str) -> bool:
        """Whether the node has the transaction, mined or not."""

    def receipt(self, tx_hash: str) -> Mined | None:
        """The receipt of a mined transaction."""

    def revert_reason(self, sender: str, to: str, data: bytes, gas: int, block_number: int) -> str:
        """The contract's error for a call that reverted in `block_number`."""


class RpcPort:
    """TxPort over JSON-RPC."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    def chain_id(self) -> int:
        return self._rpc.eth.chain_id

    def head(self) -> int:
        return self._rpc.eth.block_number

    def base_fee_wei(self) -> int:
        return int(self._rpc.eth.get_block("latest").get("baseFeePerGas", 0))

    def nonce(self, sender: str, block_number: int | None = None) -> int:
        return self._rpc.eth.get_transaction_count(sender, "latest" if block_number is None else block_number)

    def send(self, raw: bytes) -> None:
        try:
            self._rpc.eth.send_raw_transaction(raw)
        except RequestRefused as error:
            raise refused(error.words) from error

    def known(self, tx_hash: str) -> bool:
        try:
            self._rpc.eth.get_transaction(tx_hash)
        except NotKnown:
            return False
        return True

    def receipt(self, tx_hash: str) -> Mined | None:
        try:
            found = self._rpc.eth.get_transaction_receipt(tx_hash)
        except NotKnown:
            return None
        return Mined(to_hex(found["transactionHash"]), found["blockNumber"], found["status"] == 1, found["gasUsed"])

    def revert_reason(self, sender: str, to: str, data: bytes, gas: int, block_number: int) -> str:
        call = {"from": sender, "to": to, "data": data, "gas": gas}
        try:
            self._rpc.eth.call(call, max(block_number - 1, 0))
        except Reverted as error:
            return str(error)
        return "the same call passes on the block before, so another transaction of the block came first"


def refused(message: str) -> NodeRefused:
    """A node's error message as a typed refusal."""
    lowered = message.lower()
    kinds = (refusal for refusal, parts in _MESSAGES if any(part in lowered for part in parts))
    return NodeRefused(next(kinds, Refusal.OTHER), message)
