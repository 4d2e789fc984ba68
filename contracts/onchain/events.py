"""Logs of the contracts, decoded to events, in the order of the chain."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.onchain.contract import Contract, event_values, topic
from contracts.onchain.eth import Record


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
        """(block, log index)."""
        return self.block_number, self.log_index


class EventDecoder:
    """Decodes logs of a set of contracts and skips other events (approvals, transfers)."""

    def __init__(self, contracts: Mapping[str, Contract]) -> None:
        self._names = {contract.address.lower(): name for name, contract in contracts.items()}
        self._events = {
            (name, topic(item)): item
            for name, contract in contracts.items()
            for item in contract.abi
            if item["type"] == "event"
        }

    def decode(self, logs: Sequence[Record]) -> list[Event]:
        """The events in `logs`, sorted by position. Raises eth_abi's DecodingError for a malformed log."""
        found = [event for log in logs if (event := self._decode_one(log)) is not None]
        return sorted(found, key=lambda event: event.position)

    def _decode_one(self, log: Record) -> Event | None:
        name = self._names.get(log["address"].lower())
        event = self._events.get((name or "", log["topics"][0])) if log["topics"] else None
        if name is None or event is None:
            return None
        return Event(
            contract=name,
            name=str(event["name"]),
            args=event_values(event, log),
            block_number=log["blockNumber"],
            block_hash=log["blockHash"],
            tx_hash=log["transactionHash"],
            log_index=log["logIndex"],
        )
