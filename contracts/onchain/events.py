"""Logs of the contracts as events, in the order of the chain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from web3 import Web3
from web3.contract import Contract
from web3.types import LogReceipt

from contracts.protocol.hashing import keccak


@dataclass(frozen=True)
class Block:
    """A block's place in the chain; hashes are 32 bytes, `timestamp` Unix seconds."""

    number: int
    hash: bytes
    parent_hash: bytes
    timestamp: int


@dataclass(frozen=True)
class Event:
    """One log. `args` carries the ABI's names; addresses are lower-case hex, bytes32 are bytes."""

    contract: str
    name: str
    args: Mapping[str, Any]
    block_number: int
    block_hash: bytes
    tx_hash: bytes
    log_index: int

    @property
    def position(self) -> tuple[int, int]:
        """Where it stands: (block, log index)."""
        return self.block_number, self.log_index


class EventDecoder:
    """Decodes logs of a set of contracts; logs of other events (approvals, transfers) are left out by name."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self._names = {contract.address.lower(): name for name, contract in contracts.items()}
        self._events = {
            (name, _topic(item)): contract.events[item["name"]]()
            for name, contract in contracts.items()
            for item in contract.abi
            if item["type"] == "event"
        }

    def decode(self, logs: Sequence[LogReceipt]) -> list[Event]:
        """The events behind `logs`, sorted by place."""
        found = [event for log in logs if (event := self._decode_one(log)) is not None]
        return sorted(found, key=lambda event: event.position)

    def _decode_one(self, log: LogReceipt) -> Event | None:
        name = self._names.get(log["address"].lower())
        event = self._events.get((name or "", bytes(log["topics"][0]))) if log["topics"] else None
        if name is None or event is None:
            return None
        data = event.process_log(log)
        return Event(
            contract=name,
            name=data["event"],
            args={key: _plain(value) for key, value in data["args"].items()},
            block_number=log["blockNumber"],
            block_hash=bytes(log["blockHash"]),
            tx_hash=bytes(log["transactionHash"]),
            log_index=log["logIndex"],
        )


def _topic(item: Any) -> bytes:
    return keccak(f"{item['name']}({','.join(i['type'] for i in item['inputs'])})".encode())


def _plain(value: Any) -> Any:
    if isinstance(value, str) and Web3.is_address(value):
        return value.lower()
    return bytes(value) if isinstance(value, bytes) else value
