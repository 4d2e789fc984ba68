"""Read access to a deployment: blocks, events, calldata of epochs, and the contracts for calls."""

from collections.abc import Iterator
from typing import Any

from eth_utils.address import to_checksum_address
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.types import BlockIdentifier

from contracts.onchain.artifacts import artifact
from contracts.onchain.deployment import Deployment
from contracts.onchain.errors import NoContract, WrongChain
from contracts.onchain.events import Block, Event, EventDecoder
from contracts.onchain.reverts import explain
from contracts.protocol.hashing import to_hex

_LOG_RANGE_BLOCKS = 2000
"""Blocks asked for in one eth_getLogs; public endpoints refuse more than a few thousand."""


def connect(rpc_url: str, *, timeout_s: float = 30.0) -> Web3:
    """A web3 connection over HTTP."""
    return Web3(HTTPProvider(rpc_url, request_kwargs={"timeout": timeout_s}))


class Chain:
    """A deployment seen through one endpoint. Raises WrongChain or NoContract when they do not belong together."""

    def __init__(self, w3: Web3, deployment: Deployment) -> None:
        self.w3, self.deployment = w3, deployment
        with explain():
            found = w3.eth.chain_id
        if found != deployment.chain_id:
            raise WrongChain(expected=deployment.chain_id, found=found, rpc_url=str(w3.provider))
        self.escrow = self._contract("JobEscrow", deployment.escrow)
        self.stakes = self._contract("StakeManager", deployment.stake_manager)
        self.court = self._contract("SlashingCourt", deployment.court)
        self.token = self._contract("DevToken", deployment.token)
        self.governor = self._contract("TimelockController", deployment.governor)
        self._decoder = EventDecoder(
            {"JobEscrow": self.escrow, "StakeManager": self.stakes, "SlashingCourt": self.court}
        )

    @staticmethod
    def open(rpc_url: str, deployment: Deployment) -> "Chain":
        """Connects over HTTP."""
        return Chain(connect(rpc_url), deployment)

    def _contract(self, name: str, address: str) -> Contract:
        checksummed = to_checksum_address(address)
        if not self.w3.eth.get_code(checksummed):
            raise NoContract(name=name, address=address)
        return self.w3.eth.contract(address=checksummed, abi=artifact(name).abi, decode_tuples=True)

    def head(self) -> Block:
        """The latest block."""
        return self.block("latest")

    def block(self, identifier: BlockIdentifier) -> Block:
        """A block by number or tag."""
        with explain():
            data = self.w3.eth.get_block(identifier)
        return Block(data["number"], bytes(data["hash"]), bytes(data["parentHash"]), data["timestamp"])

    def events(self, first_block: int, last_block: int) -> list[Event]:
        """The three contracts' events in a range of blocks, both ends included, in order."""
        found: list[Event] = []
        for start, end in _ranges(first_block, last_block):
            with explain():
                logs = self.w3.eth.get_logs(
                    {
                        "fromBlock": start,
                        "toBlock": end,
                        "address": [self.escrow.address, self.stakes.address, self.court.address],
                    }
                )
            found += self._decoder.decode(logs)
        return found

    def packed_epoch(self, settle_tx_hash: bytes) -> bytes:
        """The packed rows in the calldata of the transaction that settled an epoch (a direct call by the settler)."""
        with explain():
            transaction = self.w3.eth.get_transaction(to_hex(settle_tx_hash))  # type: ignore[arg-type]
        _, arguments = self.escrow.decode_function_input(transaction["input"])
        return bytes(arguments["packed"])

    def balance_wei(self, address: str) -> int:
        """Tokens that an address holds, in base units."""
        return int(self.token.functions.balanceOf(to_checksum_address(address)).call())


def _ranges(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last + 1, _LOG_RANGE_BLOCKS):
        yield start, min(last, start + _LOG_RANGE_BLOCKS - 1)


def as_dict(record: Any) -> dict[str, Any]:
    """A struct that a call returned, by the ABI's field names."""
    return dict(record._asdict()) if hasattr(record, "_asdict") else dict(record)
