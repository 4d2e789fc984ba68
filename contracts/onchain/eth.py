"""The JSON-RPC methods that the programs use, with answers checked and converted: numbers to int, data to bytes.

An answer of another shape is the endpoint's fault and raises WrongReply.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from eth_utils.address import to_checksum_address

from contracts.onchain.contract import Contract
from contracts.onchain.errors import NotKnown, WrongReply

if TYPE_CHECKING:
    from contracts.onchain.rpc import Rpc

T = TypeVar("T")

At = int | str | bytes
"""A block: its number, its hash, or a tag such as "latest"."""
Record = dict[str, Any]
"""A block, transaction, receipt or log, by JSON-RPC's names."""


class Eth:
    """Takes addresses in any spelling and returns them checksummed.

    Raises ChainUnavailable (EndpointLimited, WrongReply, NotKnown), RequestRefused, Reverted.
    """

    def __init__(self, rpc: "Rpc") -> None:
        self._rpc = rpc

    @property
    def chain_id(self) -> int:
        return self._ask(number, "eth_chainId")

    @property
    def block_number(self) -> int:
        return self._ask(number, "eth_blockNumber")

    def get_block(self, at: At, full_transactions: bool = False) -> Record:
        """Raises NotKnown."""
        method = "eth_getBlockByHash" if isinstance(at, bytes) or len(str(at)) == 66 else "eth_getBlockByNumber"
        return self._found(_block, f"block {_shown(at)}", method, _place(at), full_transactions)

    def get_transaction(self, tx_hash: bytes | str) -> Record:
        """A transaction, mined or not. Raises NotKnown."""
        return self._found(_transaction, f"transaction {_shown(tx_hash)}", "eth_getTransactionByHash", _hex(tx_hash))

    def get_transaction_receipt(self, tx_hash: bytes | str) -> Record:
        """The receipt of a mined transaction. Raises NotKnown."""
        what = f"receipt of {_shown(tx_hash)}"
        return self._found(_receipt, what, "eth_getTransactionReceipt", _hex(tx_hash))

    def get_logs(self, query: Mapping[str, Any]) -> list[Record]:
        """The logs that match `fromBlock`, `toBlock`, `blockHash`, `address`, `topics`."""
        places = {name: _place(value) for name, value in query.items() if name in ("fromBlock", "toBlock", "blockHash")}
        return self._ask(_logs, "eth_getLogs", {**query, **places})

    def get_code(self, address: str, at: At = "latest") -> bytes:
        """An account's code; empty if it has none."""
        return self._ask(data, "eth_getCode", to_checksum_address(address), _place(at))

    def get_balance(self, address: str, at: At = "latest") -> int:
        """In wei."""
        return self._ask(number, "eth_getBalance", to_checksum_address(address), _place(at))

    def get_transaction_count(self, address: str, at: At = "latest") -> int:
        """An account's next nonce."""
        return self._ask(number, "eth_getTransactionCount", to_checksum_address(address), _place(at))

    def call(self, transaction: Mapping[str, Any], at: At = "latest") -> bytes:
        """The bytes that a call would return. Raises Reverted."""
        return self._ask(data, "eth_call", fields(transaction), _place(at))

    def estimate_gas(self, transaction: Mapping[str, Any], at: At = "latest") -> int:
        """Raises Reverted."""
        return self._ask(number, "eth_estimateGas", fields(transaction), _place(at))

    def send_raw_transaction(self, raw: bytes) -> bytes:
        """Sends a signed transaction and returns its hash."""
        return self._ask(hash32, "eth_sendRawTransaction", "0x" + raw.hex())

    def contract(self, *, address: str, abi: Sequence[Mapping[str, Any]]) -> Contract:
        return Contract(self, to_checksum_address(address), abi)

    @property
    def endpoint(self) -> str:
        """The endpoint's name in messages."""
        return self._rpc.endpoint

    def _ask(self, shape: Callable[[Any], T], method: str, *params: Any) -> T:
        reply = self._rpc.request(method, *params)
        try:
            return shape(reply)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise WrongReply(self.endpoint, f"it answers {method} with {str(reply)[:40]!r}") from error

    def _found(self, shape: Callable[[Any], T], what: str, method: str, *params: Any) -> T:
        found = self._ask(lambda reply: None if reply is None else (shape(reply),), method, *params)
        if found is None:
            raise NotKnown(self.endpoint, what)
        return found[0]


# ---------------------------------------------------------------- what goes in


def fields(transaction: Mapping[str, Any]) -> dict[str, str]:
    """A call's fields in JSON-RPC's encoding."""
    return {name: hex(value) if isinstance(value, int) else _hex(value) for name, value in transaction.items()}


def _hex(value: bytes | str) -> str:
    return value if isinstance(value, str) else "0x" + value.hex()


def _place(at: At) -> str:
    return hex(at) if isinstance(at, int) else _hex(at)


def _shown(at: At) -> str:
    return str(at) if isinstance(at, int) else _hex(at)


# ---------------------------------------------------------------- what comes back


def number(value: Any) -> int:
    """A quantity. Raises ValueError, TypeError."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise TypeError("no quantity")
    return int(value, 16)


def data(value: Any) -> bytes:
    """Bytes of any length. Raises ValueError, TypeError."""
    if not isinstance(value, str) or not value.startswith("0x"):
        raise TypeError("no data")
    return bytes.fromhex(value[2:])


def hash32(value: Any) -> bytes:
    """32 bytes. Raises ValueError, TypeError."""
    found = data(value)
    if len(found) != 32:
        raise ValueError("no hash")
    return found


def address(value: Any) -> str:
    """A checksummed address. Raises ValueError, TypeError."""
    if len(data(value)) != 20:
        raise ValueError("no address")
    return str(to_checksum_address(value))


_Shapes = Mapping[str, Callable[[Any], Any]]


def _shaped(record: Any, must: _Shapes, may: _Shapes) -> Record:
    """A record's known fields: all of `must`, and those of `may` that are neither missing nor null."""
    found = {name: shape(record[name]) for name, shape in must.items()}
    return found | {name: shape(record[name]) for name, shape in may.items() if record.get(name) is not None}


def _log(record: Any) -> Record:
    return _shaped(record, _LOG, {"transactionIndex": number})


def _logs(records: Any) -> list[Record]:
    if not isinstance(records, list):
        raise TypeError("no list")
    return [_log(record) for record in records]


def _receipt(record: Any) -> Record:
    may = {"contractAddress": address, "to": address, "effectiveGasPrice": number, "transactionIndex": number}
    found = _shaped(record, _RECEIPT, may)
    return {"contractAddress": None, "to": None} | found


def _transaction(record: Any) -> Record:
    may = {
        "to": address, "blockNumber": number, "blockHash": hash32, "gasPrice": number, "type": number,
        "chainId": number, "maxFeePerGas": number, "maxPriorityFeePerGas": number, "transactionIndex": number,
    }  # fmt: skip
    return {"to": None, "blockNumber": None, "blockHash": None} | _shaped(record, _TRANSACTION, may)


def _block(record: Any) -> Record:
    may: _Shapes = {"baseFeePerGas": number, "gasUsed": number, "gasLimit": number, "transactions": _transactions}
    return _shaped(record, _BLOCK, may)


def _transactions(records: Any) -> list[Any]:
    return [_transaction(each) if isinstance(each, dict) else hash32(each) for each in records]


_BLOCK: _Shapes = {"number": number, "hash": hash32, "parentHash": hash32, "timestamp": number}
_LOG: _Shapes = {
    "address": address, "topics": lambda topics: [hash32(topic) for topic in topics], "data": data,
    "blockNumber": number, "blockHash": hash32, "transactionHash": hash32, "logIndex": number,
}  # fmt: skip
_RECEIPT: _Shapes = {
    "transactionHash": hash32, "blockNumber": number, "blockHash": hash32, "status": number, "gasUsed": number,
    "from": address, "logs": _logs,
}  # fmt: skip
_TRANSACTION: _Shapes = {
    "hash": hash32, "from": address, "input": data, "nonce": number, "value": number, "gas": number,
}  # fmt: skip
