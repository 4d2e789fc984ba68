"""Read access to a deployment: blocks, events, the calldata of epochs, and the contracts to call."""

from collections.abc import Iterator
from typing import Any

from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address

from contracts.onchain.artifacts import artifact
from contracts.onchain.contract import Contract
from contracts.onchain.deployment import Deployment
from contracts.onchain.errors import NoContract, Reverted, WrongChain, WrongContract, WrongReply
from contracts.onchain.eth import At
from contracts.onchain.events import Block, Event, EventDecoder
from contracts.onchain.rpc import Rpc
from contracts.protocol.typed_data import VERSION

_LOG_RANGE_BLOCKS = 2000
"""Blocks asked for in one eth_getLogs; public endpoints refuse more than a few thousand."""


def connect(rpc_url: str, *, timeout_s: float = 30.0) -> Rpc:
    """An endpoint over HTTP. Sends no request yet. Raises BadRpcUrl."""
    return Rpc(rpc_url, timeout_s=timeout_s)


class Chain:
    """A deployment, read through one endpoint. Raises WrongChain, NoContract or WrongContract if it is not there."""

    def __init__(self, w3: Rpc, deployment: Deployment) -> None:
        self.w3, self.deployment = w3, deployment
        found = w3.eth.chain_id
        if found != deployment.chain_id:
            raise WrongChain(expected=deployment.chain_id, found=found, rpc_url=w3.endpoint)
        self.escrow = self._contract("JobEscrow", deployment.escrow)
        self.stakes = self._contract("StakeManager", deployment.stake_manager)
        self.court = self._contract("SlashingCourt", deployment.court)
        self.contests = self._contract("Contests", deployment.contests)
        self.token = self._contract("DevToken", deployment.token)
        self.governor = self._contract("TimelockController", deployment.governor)
        self._contracts = {
            "JobEscrow": self.escrow,
            "StakeManager": self.stakes,
            "SlashingCourt": self.court,
            "Contests": self.contests,
        }
        self._decoder = EventDecoder(self._contracts)
        self._check_wiring()

    @staticmethod
    def open(rpc_url: str, deployment: Deployment) -> "Chain":
        return Chain(connect(rpc_url), deployment)

    def _contract(self, name: str, address: str) -> Contract:
        if not self.w3.eth.get_code(address):
            raise NoContract(name=name, address=address)
        return self.w3.eth.contract(address=address, abi=artifact(name).abi)

    def _check_wiring(self) -> None:
        """Compares the file with the escrow, which names the other contracts: a file that mixes deployments fails."""
        d = self.deployment
        named = {"STAKE_MANAGER": d.stake_manager, "COURT": d.court, "CONTESTS": d.contests, "TOKEN": d.token}
        for getter, expected in named.items():
            try:
                found = str(self.escrow.functions[getter]().call()).lower()
            except (Reverted, WrongReply):
                found = "not there"
            if found != expected:
                raise WrongContract(address=d.escrow, getter=getter, expected=expected, found=found)
        require_agreement(self.escrow)

    def head(self) -> Block:
        return self.block("latest")

    def block(self, identifier: At) -> Block:
        """A block by number or tag. Raises NotKnown."""
        data = self.w3.eth.get_block(identifier)
        return Block(data["number"], data["hash"], data["parentHash"], data["timestamp"])

    def block_hash(self, number: int) -> bytes:
        return self.block(number).hash

    def events(self, first_block: int, last_block: int) -> list[Event]:
        """The contracts' events from `first_block` to `last_block` inclusive, in order."""
        found: list[Event] = []
        addresses = [contract.address for contract in self._contracts.values()]
        for start, end in _ranges(first_block, last_block):
            logs = self.w3.eth.get_logs({"fromBlock": start, "toBlock": end, "address": addresses})
            try:
                found += self._decoder.decode(logs)
            except DecodingError as error:
                raise WrongReply(self.w3.endpoint, f"logs of blocks {start} to {end} do not decode: {error}") from error
        return found

    def packed_epoch(self, settle_tx_hash: bytes) -> bytes:
        """The packed rows of an epoch, from the calldata of the transaction that settled it."""
        transaction = self.w3.eth.get_transaction(settle_tx_hash)
        _, arguments = self.escrow.decode_function_input(transaction["input"])
        return bytes(arguments["packed"])

    def settler(self) -> str:
        """Who may post and settle now. The governor may have changed it since the deployment file was written."""
        return str(self.escrow.functions.settler().call()).lower()

    def balance_wei(self, address: str) -> int:
        """An address's tokens, in base units."""
        return int(self.token.functions.balanceOf(to_checksum_address(address)).call())


def require_agreement(escrow: Contract) -> None:
    """Raises WrongContract unless the escrow accepts this release's typed data."""
    try:
        _, _, found, *_ = escrow.functions.eip712Domain().call()
    except (Reverted, WrongReply):
        found = "not there"
    if found != VERSION:
        what = "agreement (its EIP-712 domain's version)"
        raise WrongContract(address=escrow.address.lower(), getter=what, expected=VERSION, found=found)


def _ranges(first: int, last: int) -> Iterator[tuple[int, int]]:
    for start in range(first, last + 1, _LOG_RANGE_BLOCKS):
        yield start, min(last, start + _LOG_RANGE_BLOCKS - 1)


def as_dict(record: Any) -> dict[str, Any]:
    """A struct that a call returned, as field name -> value."""
    return dict(record._asdict()) if hasattr(record, "_asdict") else dict(record)
