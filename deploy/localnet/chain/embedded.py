"""An EVM chain in this process (py-evm through eth-tester), served over JSON-RPC like any node.

For development and the demo: one block a second, nothing kept on disk, its owner is trusted. Blocks, receipts and logs
are indexed as they are mined, so that reads neither scan the chain nor wait for a running transaction.
"""

import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eth_utils.address import to_canonical_address
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # py-evm imports names that its dependencies deprecate
    from eth.exceptions import VMError
    from eth.vm.spoof import SpoofTransaction
    from eth_tester import PyEVMBackend
    from eth_tester.backends.pyevm.serializers import (
        serialize_block,
        serialize_transaction,
        serialize_transaction_receipt,
    )

from contracts.protocol.hashing import keccak

CHAIN_ID = 31337
MNEMONIC = "test test test test test test test test test test test junk"
"""Anvil's development mnemonic: its first ten accounts are rich on both chains."""

_INVALID_PARAMS, _METHOD_NOT_FOUND, _SERVER_ERROR, _REVERTED = -32602, -32601, -32000, 3
_CALL_GAS = 30_000_000
Json = dict[str, Any]


class RpcError(Exception):
    """An error reply: JSON-RPC code, message, and revert data if a contract refused."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data


def quantity(value: int) -> str:
    """A JSON-RPC quantity."""
    return hex(value)


def data(value: bytes) -> str:
    """JSON-RPC data."""
    return "0x" + value.hex()


@dataclass
class _Index:
    """Everything mined, in JSON-RPC form."""

    blocks: list[Json] = field(default_factory=list)
    number_of: dict[str, int] = field(default_factory=dict)
    transactions: dict[str, Json] = field(default_factory=dict)
    pending: dict[str, Json] = field(default_factory=dict)
    receipts: dict[str, Json] = field(default_factory=dict)


class EmbeddedChain:
    """The chain and its JSON-RPC methods. Transactions run when they arrive and are mined by `mine`."""

    def __init__(self) -> None:
        self._backend = PyEVMBackend.from_mnemonic(MNEMONIC, num_accounts=10, hd_path="m/44'/60'/0'/0")
        self._chain = self._backend.chain
        type(self._chain).chain_id = CHAIN_ID
        self._lock = threading.RLock()
        self._index = _Index()
        self._methods: dict[str, Callable[..., Any]] = {
            "web3_clientVersion": lambda: "assay-embedded/py-evm",
            "net_version": lambda: str(CHAIN_ID),
            "eth_chainId": lambda: quantity(CHAIN_ID),
            "eth_syncing": lambda: False,
            "eth_blockNumber": lambda: quantity(len(self._index.blocks) - 1),
            "eth_gasPrice": lambda: quantity(self._base_fee() + 10**9),
            "eth_maxPriorityFeePerGas": lambda: quantity(10**9),
            "eth_feeHistory": self._fee_history,
            "eth_getBlockByNumber": self._block_by_number,
            "eth_getBlockByHash": self._block_by_hash,
            "eth_getTransactionByHash": self._transaction,
            "eth_getTransactionReceipt": lambda tx_hash: self._index.receipts.get(tx_hash.lower()),
            "eth_getLogs": self._logs,
            "eth_getBalance": self._balance,
            "eth_getCode": self._code,
            "eth_getStorageAt": self._storage,
            "eth_getTransactionCount": self._nonce,
            "eth_call": self._call,
            "eth_estimateGas": self._estimate,
            "eth_sendRawTransaction": self._send,
        }
        self._index_block(self._chain.get_canonical_block_by_number(0))

    def request(self, method: str, params: list[Any]) -> Any:
        """Raises RpcError."""
        handler = self._methods.get(method)
        if handler is None:
            raise RpcError(_METHOD_NOT_FOUND, f"the method {method} does not exist on the embedded chain")
        try:
            return handler(*params)
        except (TypeError, ValueError, KeyError) as error:
            raise RpcError(_INVALID_PARAMS, f"{method}: {error}") from error

    def mine(self) -> None:
        """Mines the transactions that have arrived, or an empty block."""
        with self._lock:
            self._backend.mine_blocks(1)
            self._index_block(self._chain.get_canonical_block_by_number(len(self._index.blocks)))

    # -- index

    def _index_block(self, block: Any) -> None:
        header = serialize_block(block, full_transaction=True, is_pending=False)
        transactions = [_transaction_json(item) for item in header["transactions"]]
        receipts = block.get_receipts(self._chain.chaindb)
        first_log = 0
        for position, transaction in enumerate(block.transactions):
            raw = serialize_transaction_receipt(
                block, receipts, transaction, position, False, self._chain.get_vm(at_header=block.header)
            )
            receipt = _receipt_json(raw, first_log)
            first_log += len(receipt["logs"])
            tx_hash = receipt["transactionHash"]
            self._index.receipts[tx_hash] = receipt
            self._index.transactions[tx_hash] = transactions[position]
            self._index.pending.pop(tx_hash, None)
        record = _block_json(header, transactions)
        self._index.number_of[record["hash"]] = block.number
        self._index.blocks.append(record)

    def _base_fee(self) -> int:
        return int(self._index.blocks[-1]["baseFeePerGas"], 16)

    # -- blocks and logs

    def _resolve(self, tag: str) -> int:
        head = len(self._index.blocks) - 1
        if tag in ("latest", "pending", "safe", "finalized"):
            return head
        return 0 if tag == "earliest" else int(tag, 16)

    def _block_by_number(self, tag: str, full: bool = False) -> Json | None:
        number = self._resolve(tag)
        return self._shown(number, full) if number < len(self._index.blocks) else None

    def _block_by_hash(self, block_hash: str, full: bool = False) -> Json | None:
        number = self._index.number_of.get(block_hash.lower())
        return None if number is None else self._shown(number, full)

    def _shown(self, number: int, full: bool) -> Json:
        block = self._index.blocks[number]
        if full:
            return {**block, "transactions": [self._index.transactions[tx_hash] for tx_hash in block["transactions"]]}
        return block

    def _transaction(self, tx_hash: str) -> Json | None:
        name = tx_hash.lower()
        return self._index.transactions.get(name) or self._index.pending.get(name)

    def _logs(self, query: Json) -> list[Json]:
        if "blockHash" in query:
            number = self._index.number_of.get(query["blockHash"].lower())
            if number is None:
                raise RpcError(_SERVER_ERROR, f"unknown block {query['blockHash']}")
            first = last = number
        else:
            first, last = self._resolve(query.get("fromBlock", "latest")), self._resolve(query.get("toBlock", "latest"))
        addresses = query.get("address")
        wanted = {addresses.lower()} if isinstance(addresses, str) else {a.lower() for a in addresses or []}
        found = []
        for block in self._index.blocks[first : last + 1]:
            for tx_hash in block["transactions"]:
                logs = self._index.receipts[tx_hash]["logs"]
                found += [log for log in logs if _matches(log, wanted, query.get("topics") or [])]
        return found

    def _fee_history(self, count: str | int, newest: str, percentiles: list[float] | None = None) -> Json:
        last = self._resolve(newest)
        size = min(int(count, 16) if isinstance(count, str) else count, last + 1)
        blocks = self._index.blocks[last + 1 - size : last + 1]
        history: Json = {
            "oldestBlock": quantity(last + 1 - size),
            "baseFeePerGas": [block["baseFeePerGas"] for block in blocks] + [quantity(self._base_fee())],
            "gasUsedRatio": [int(block["gasUsed"], 16) / int(block["gasLimit"], 16) for block in blocks],
        }
        if percentiles:
            history["reward"] = [[quantity(10**9) for _ in percentiles] for _ in blocks]
        return history

    # -- state

    def _state(self, tag: str) -> Any:
        if tag == "pending":
            return self._chain.get_vm().state
        header = self._chain.get_canonical_block_header_by_number(self._resolve(tag))
        return self._chain.get_vm(at_header=header).state

    def _balance(self, address: str, tag: str = "latest") -> str:
        with self._lock:
            return quantity(self._state(tag).get_balance(to_canonical_address(address)))

    def _code(self, address: str, tag: str = "latest") -> str:
        with self._lock:
            return data(self._state(tag).get_code(to_canonical_address(address)))

    def _storage(self, address: str, slot: str, tag: str = "latest") -> str:
        with self._lock:
            value = self._state(tag).get_storage(to_canonical_address(address), int(slot, 16))
            return data(int(value).to_bytes(32, "big"))

    def _nonce(self, address: str, tag: str = "latest") -> str:
        with self._lock:
            return quantity(self._state(tag).get_nonce(to_canonical_address(address)))

    # -- execution

    def _call(self, call: Json, tag: str = "latest", *_: Any) -> str:
        with self._lock:
            return data(self._run(call, self._state(tag)).output)

    def _run(self, call: Json, state: Any) -> Any:
        sender = to_canonical_address(call.get("from") or "0x" + "00" * 20)
        transaction = SpoofTransaction(self._unsigned(call, sender, state), from_=sender)
        snapshot = state.snapshot()
        try:
            state.set_balance(sender, 10**30)  # a call needs no money for gas
            computation = state.apply_transaction(transaction)
        except ValidationError as error:
            raise RpcError(_SERVER_ERROR, str(error)) from error
        finally:
            state.revert(snapshot)
        if computation.is_error:
            raise RpcError(_REVERTED, "execution reverted", data(bytes(computation.output)))
        return computation

    def _unsigned(self, call: Json, sender: bytes, state: Any) -> Any:
        fee = 2 * max(self._base_fee(), state.base_fee)  # an older block may have been dearer
        return self._chain.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
            chain_id=CHAIN_ID,
            nonce=state.get_nonce(sender),
            max_priority_fee_per_gas=0,
            max_fee_per_gas=fee,
            gas=min(int(call["gas"], 16), _CALL_GAS) if call.get("gas") else _CALL_GAS,
            to=to_canonical_address(call["to"]) if call.get("to") else b"",
            value=int(call.get("value") or "0x0", 16),
            data=bytes.fromhex((call.get("data") or call.get("input") or "0x")[2:]),
            access_list=(),
        )

    def _estimate(self, call: Json, tag: str = "latest") -> str:
        with self._lock:
            state = self._state("pending")
            self._run({**call, "gas": None}, state)
            sender = to_canonical_address(call.get("from") or "0x" + "00" * 20)
            transaction = SpoofTransaction(self._unsigned({**call, "gas": None}, sender, state), from_=sender)
            try:
                return quantity(self._chain.estimate_gas(transaction))
            except (VMError, ValidationError) as error:
                raise RpcError(_SERVER_ERROR, str(error)) from error

    def _send(self, raw: str) -> str:
        with self._lock:
            tx_hash = data(keccak(bytes.fromhex(raw[2:])))
            if self._transaction(tx_hash) is not None:
                raise RpcError(_SERVER_ERROR, "already known")
            try:
                self._backend.send_raw_transaction(bytes.fromhex(raw[2:]))
            except ValidationError as error:
                raise RpcError(_SERVER_ERROR, _as_node_says(str(error))) from error
            except RLPException as error:
                raise RpcError(_INVALID_PARAMS, f"no transaction: {error}") from error
            block = self._chain.get_block()
            last = len(block.transactions) - 1
            self._index.pending[tx_hash] = _transaction_json(
                serialize_transaction(block, block.transactions[last], last, is_pending=True)
            )
            return tx_hash

    def run(self, stop: threading.Event, block_time_s: float = 1.0) -> None:
        """Mines a block each `block_time_s` until `stop` is set."""
        following = time.monotonic() + block_time_s
        while not stop.wait(max(0.0, following - time.monotonic())):
            self.mine()
            following += block_time_s


def _as_node_says(message: str) -> str:
    """The words that nodes use for the refusals that clients tell apart."""
    lowered = message.lower()
    if "nonce" in lowered and "too low" not in lowered:
        return f"nonce too low: {message}" if "expected" not in lowered else f"invalid nonce: {message}"
    return message


def _matches(log: Json, addresses: set[str], topics: list[Any]) -> bool:
    if addresses and log["address"] not in addresses:
        return False
    for position, wanted in enumerate(topics):
        if wanted is None:
            continue
        options = wanted if isinstance(wanted, list) else [wanted]
        if position >= len(log["topics"]) or log["topics"][position] not in [option.lower() for option in options]:
            return False
    return True


def _block_json(block: Json, transactions: list[Json]) -> Json:
    return {
        "number": quantity(block["number"]),
        "hash": data(block["hash"]),
        "parentHash": data(block["parent_hash"]),
        "nonce": data(block["nonce"]),
        "sha3Uncles": data(block["sha3_uncles"]),
        "logsBloom": data(block["logs_bloom"].to_bytes(256, "big")),
        "transactionsRoot": data(block["transactions_root"]),
        "stateRoot": data(block["state_root"]),
        "receiptsRoot": data(block["receipts_root"]),
        "miner": data(block["coinbase"]),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "extraData": data(block["extra_data"]),
        "mixHash": data(block["mix_hash"]),
        "size": quantity(block["size"]),
        "gasLimit": quantity(block["gas_limit"]),
        "gasUsed": quantity(block["gas_used"]),
        "timestamp": quantity(block["timestamp"]),
        "baseFeePerGas": quantity(block["base_fee_per_gas"]),
        "transactions": [transaction["hash"] for transaction in transactions],
        "uncles": [],
    }


def _transaction_json(transaction: Json) -> Json:
    pending = transaction["block_hash"] is None
    record: Json = {
        "type": quantity(transaction["type"]),
        "hash": data(transaction["hash"]),
        "nonce": quantity(transaction["nonce"]),
        "blockHash": None if pending else data(transaction["block_hash"]),
        "blockNumber": None if pending else quantity(transaction["block_number"]),
        "transactionIndex": None if pending else quantity(transaction["transaction_index"]),
        "from": data(transaction["from"]),
        "to": data(transaction["to"]) if transaction["to"] else None,
        "value": quantity(transaction["value"]),
        "gas": quantity(transaction["gas"]),
        "gasPrice": quantity(transaction["gas_price"]),
        "input": data(transaction["data"]),
        "v": quantity(transaction["v"]),
        "r": quantity(transaction["r"]),
        "s": quantity(transaction["s"]),
    }
    if transaction["type"] > 0:
        record |= {"chainId": quantity(CHAIN_ID), "accessList": [], "yParity": record["v"]}
    if transaction["type"] == 2:
        record["maxFeePerGas"] = quantity(transaction["max_fee_per_gas"])
        record["maxPriorityFeePerGas"] = quantity(transaction["max_priority_fee_per_gas"])
    return record


def _receipt_json(receipt: Json, first_log: int) -> Json:
    place = {
        "transactionHash": data(receipt["transaction_hash"]),
        "transactionIndex": quantity(receipt["transaction_index"]),
        "blockHash": data(receipt["block_hash"]),
        "blockNumber": quantity(receipt["block_number"]),
    }
    logs = [
        {
            **place,
            "address": data(log["address"]),
            "data": data(log["data"]),
            "topics": [data(topic) for topic in log["topics"]],
            "logIndex": quantity(first_log + position),
            "removed": False,
        }
        for position, log in enumerate(receipt["logs"])
    ]
    return {
        **place,
        "type": quantity(receipt["type"]),
        "from": data(receipt["from"]),
        "to": data(receipt["to"]) if receipt["to"] else None,
        "contractAddress": data(receipt["contract_address"]) if receipt["contract_address"] else None,
        "cumulativeGasUsed": quantity(receipt["cumulative_gas_used"]),
        "gasUsed": quantity(receipt["gas_used"]),
        "effectiveGasPrice": quantity(receipt["effective_gas_price"]),
        "status": quantity(receipt["status"]),
        "logsBloom": "0x" + "00" * 256,
        "logs": logs,
    }
