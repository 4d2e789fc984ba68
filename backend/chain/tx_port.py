"""What the transaction manager asks of a node, and the adapter that asks it over JSON-RPC."""

from typing import Any, Protocol

from eth_typing import BlockNumber
from eth_utils.address import to_checksum_address
from web3 import Web3
from web3.exceptions import TransactionNotFound, Web3RPCError
from web3.types import BlockIdentifier, TxParams

from backend.chain.errors import NodeRefused, Refusal
from backend.chain.tx_state import Mined
from contracts.onchain.errors import Reverted
from contracts.onchain.reverts import explain
from contracts.protocol.hashing import to_hex

_WORDS = (
    (Refusal.KNOWN, ("already known", "already imported", "known transaction", "already exists")),
    (Refusal.NONCE_TOO_LOW, ("nonce too low", "nonce is too low", "oldnonce")),
    (Refusal.UNDERPRICED, ("underpriced", "fee too low", "max fee per gas less", "gas price too low")),
    (Refusal.NO_FUNDS, ("insufficient funds", "insufficient balance")),
)
"""How geth, reth, Anvil, Nethermind and py-evm say it."""


class TxPort(Protocol):
    """Exactly the node's methods that sending needs. Any may raise ChainUnavailable."""

    def chain_id(self) -> int:
        """The chain's id, which every transaction is signed for."""

    def head(self) -> int:
        """Number of the latest block."""

    def base_fee_wei(self) -> int:
        """Base fee of the latest block, wei per gas."""

    def nonce(self, sender: str, block_number: int | None = None) -> int:
        """How many transactions of `sender` are mined, up to a block or the latest."""

    def send(self, raw: bytes) -> None:
        """Hands over a signed transaction. Raises NodeRefused."""

    def known(self, tx_hash: str) -> bool:
        """Whether the node has the transaction, mined or not."""

    def receipt(self, tx_hash: str) -> Mined | None:
        """The receipt of a mined transaction."""

    def revert_reason(self, sender: str, to: str, data: bytes, gas: int, block_number: int) -> str:
        """Why a call that was reverted in `block_number` was refused, in the contract's own words."""


class RpcPort:
    """TxPort over web3."""

    def __init__(self, w3: Web3) -> None:
        self._w3 = w3

    def chain_id(self) -> int:
        with explain():
            return self._w3.eth.chain_id

    def head(self) -> int:
        with explain():
            return self._w3.eth.block_number

    def base_fee_wei(self) -> int:
        with explain():
            return int(self._w3.eth.get_block("latest").get("baseFeePerGas", 0))

    def nonce(self, sender: str, block_number: int | None = None) -> int:
        with explain():
            at: BlockIdentifier = "latest" if block_number is None else BlockNumber(block_number)
            return self._w3.eth.get_transaction_count(to_checksum_address(sender), at)

    def send(self, raw: bytes) -> None:
        with explain():
            try:
                self._w3.eth.send_raw_transaction(raw)
            except Web3RPCError as error:
                raise refused(str(error)) from error

    def known(self, tx_hash: str) -> bool:
        with explain():
            try:
                self._w3.eth.get_transaction(tx_hash)  # type: ignore[arg-type]  # hex is taken, the type says bytes
            except TransactionNotFound:
                return False
            return True

    def receipt(self, tx_hash: str) -> Mined | None:
        with explain():
            try:
                found = self._w3.eth.get_transaction_receipt(tx_hash)  # type: ignore[arg-type]  # as above
            except TransactionNotFound:
                return None
        return Mined(to_hex(found["transactionHash"]), found["blockNumber"], found["status"] == 1, found["gasUsed"])

    def revert_reason(self, sender: str, to: str, data: bytes, gas: int, block_number: int) -> str:
        call: dict[str, Any] = {
            "from": to_checksum_address(sender), "to": to_checksum_address(to), "data": to_hex(data), "gas": gas,
        }  # fmt: skip
        try:
            with explain():
                self._w3.eth.call(TxParams(**call), max(block_number - 1, 0))  # type: ignore[typeddict-item]  # from
        except Reverted as error:
            return str(error)
        return "the same call passes on the block before; another transaction of the block came first"


def refused(message: str) -> NodeRefused:
    """The typed refusal behind a node's words."""
    lowered = message.lower()
    for refusal, words in _WORDS:
        if any(word in lowered for word in words):
            return NodeRefused(refusal, message)
    return NodeRefused(Refusal.OTHER, message)
