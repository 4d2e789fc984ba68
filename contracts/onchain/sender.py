"""Sends one key's transactions and waits for them, for parties that act rarely (requester, node, verifier, deployer).

The backend's settler uses its transaction manager instead, which survives crashes.
"""

import time
from collections.abc import Sequence
from typing import Any

from eth_utils.address import to_checksum_address

from contracts.onchain.artifacts import artifact
from contracts.onchain.contract import ContractCall, encoded
from contracts.onchain.errors import ChainUnavailable, NotKnown, RequestRefused, Reverted
from contracts.onchain.eth import Record
from contracts.onchain.rpc import Rpc
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.signing import Signer

_GAS_MARGIN_PERCENT = 130
_GAS_MARGIN = 60_000
"""Endpoints estimate in the latest block, where changing a checkpoint written in that block is cheap. In the next block
it takes two new slots, 22,100 gas each."""


class Sender:
    """Sends for one key. Use one Sender per key."""

    def __init__(self, w3: Rpc, signer: Signer, *, wait_s: float = 60.0) -> None:
        self.w3 = w3
        self.signer = signer
        self.address = to_checksum_address(signer.address)
        self._wait_s = wait_s

    def call(self, function: ContractCall, *, gas: int | None = None) -> Record:
        """Sends a contract call and waits until it is mined. Raises Reverted with the contract's error."""
        limit = gas or function.estimate_gas({"from": self.address}) * _GAS_MARGIN_PERCENT // 100 + _GAS_MARGIN
        return self._send({"to": function.address, "data": function.data, "gas": limit}, describe=function.name)

    def call_all(self, functions: Sequence[ContractCall], *, gas: int) -> list[Record]:
        """Sends calls under consecutive nonces, each with this gas limit, and waits for all."""
        nonce = self.w3.eth.get_transaction_count(self.address, "pending")
        hashes = [
            self._broadcast({"to": f.address, "data": f.data, "gas": gas, "nonce": nonce + i})
            for i, f in enumerate(functions)
        ]
        return [self._mined(tx_hash, f.name) for tx_hash, f in zip(hashes, functions, strict=True)]

    def create(self, name: str, arguments: Sequence[Any]) -> str:
        """Deploys a contract and returns its address."""
        code = artifact(name)
        inputs: list[dict[str, Any]] = next((item["inputs"] for item in code.abi if item["type"] == "constructor"), [])
        data = from_hex(code.bytecode) + encoded(inputs, arguments, name)
        receipt = self._send({"data": data, "gas": 15_000_000}, describe=f"create {name}")
        return str(receipt["contractAddress"])

    def transact(self, to: str, data: bytes, *, gas: int, describe: str) -> Record:
        """Sends bytes to a contract and waits until they are mined. Raises Reverted."""
        return self._send({"to": to_checksum_address(to), "data": data, "gas": gas}, describe=describe)

    def broadcast_foreign(self, raw: bytes, *, describe: str) -> Record:
        """Sends a transaction that somebody else signed, unless it was sent already, and waits until it is mined.

        Raises Reverted, or RequestRefused if the endpoint refuses it.
        """
        tx_hash = keccak(raw)
        try:
            self.w3.eth.send_raw_transaction(raw)
        except RequestRefused:
            if not self._knows(tx_hash):
                raise
        return self._mined(tx_hash, describe)

    def _knows(self, tx_hash: bytes) -> bool:
        try:
            self.w3.eth.get_transaction(tx_hash)
        except NotKnown:
            return False
        return True

    def fee_per_gas_wei(self) -> int:
        """The most that the next transaction offers per gas."""
        return self._fees()["maxFeePerGas"]

    def _fees(self) -> dict[str, int]:
        base = self.w3.eth.get_block("latest").get("baseFeePerGas", 0)
        return {"maxFeePerGas": 2 * base + 10**9, "maxPriorityFeePerGas": 10**9}

    def _send(self, fields: dict[str, Any], *, describe: str) -> Record:
        nonce = self.w3.eth.get_transaction_count(self.address, "pending")
        return self._mined(self._broadcast({**fields, "nonce": nonce}), describe)

    def pay(self, to: Sequence[str], wei: int) -> None:
        """Sends ether to several addresses at once and waits for all."""
        nonce = self.w3.eth.get_transaction_count(self.address, "pending")
        hashes = [
            self._broadcast(
                {"to": to_checksum_address(a), "data": b"", "gas": 21_000, "nonce": nonce + i, "value": wei}
            )
            for i, a in enumerate(to)
        ]
        for tx_hash in hashes:
            self._mined(tx_hash, "payment")

    def _broadcast(self, fields: dict[str, Any]) -> bytes:
        from eth_account import Account  # imported here: it takes most of a second

        transaction = {"value": 0, "chainId": self.w3.eth.chain_id, "type": 2, **fields, **self._fees()}
        signed = Account.sign_transaction(transaction, self.signer.private_key())
        return self.w3.eth.send_raw_transaction(bytes(signed.raw_transaction))

    def _mined(self, tx_hash: bytes, describe: str) -> Record:
        receipt = self._wait(tx_hash)
        if receipt["status"] != 1:
            raise Reverted(f"{describe} failed in {to_hex(tx_hash)}")
        return receipt

    def _wait(self, tx_hash: bytes) -> Record:
        until = time.monotonic() + self._wait_s
        while time.monotonic() < until:
            try:
                return self.w3.eth.get_transaction_receipt(tx_hash)
            except NotKnown:
                time.sleep(0.25)
        raise ChainUnavailable("the chain", f"{to_hex(tx_hash)} was not mined within {self._wait_s:.0f} s")
