"""Sends transactions of one key and waits: for parties that act rarely (requester, node, verifier, deployer).

The backend's settler does not use this; its transactions go through the transaction manager, which survives crashes.
"""

import time
from collections.abc import Sequence
from typing import Any

from eth_account import Account
from eth_utils.address import to_checksum_address
from hexbytes import HexBytes
from web3 import Web3
from web3.contract.contract import ContractFunction
from web3.exceptions import TransactionNotFound
from web3.types import TxReceipt

from contracts.onchain.artifacts import artifact
from contracts.onchain.errors import ChainUnavailable, Reverted
from contracts.onchain.reverts import explain
from contracts.protocol.hashing import keccak
from contracts.protocol.signing import Signer

_GAS_MARGIN_PERCENT = 130
_GAS_MARGIN = 60_000
"""Endpoints estimate in the latest block, where a checkpoint written in that block costs little to change; in the next
block it is two new slots, 22,100 gas each."""


class Sender:
    """A key with a chain to send to. One process, one Sender a key."""

    def __init__(self, w3: Web3, signer: Signer, *, wait_s: float = 60.0) -> None:
        self.w3 = w3
        self.signer = signer
        self.address = to_checksum_address(signer.address)
        self._wait_s = wait_s

    def call(self, function: ContractFunction, *, gas: int | None = None) -> TxReceipt:
        """Sends a contract call and waits until it is mined. Raises Reverted with the contract's own error."""
        with explain():
            limit = gas or function.estimate_gas({"from": self.address}) * _GAS_MARGIN_PERCENT // 100 + _GAS_MARGIN
        data = function._encode_transaction_data()
        return self._send({"to": function.address, "data": data, "gas": limit}, describe=function.fn_name)

    def call_all(self, functions: Sequence[ContractFunction], *, gas: int) -> list[TxReceipt]:
        """Sends several calls at once under consecutive nonces and waits for all. `gas` is the limit of each."""
        nonce = self.w3.eth.get_transaction_count(self.address, "pending")
        hashes = [
            self._broadcast({"to": f.address, "data": f._encode_transaction_data(), "gas": gas, "nonce": nonce + i})
            for i, f in enumerate(functions)
        ]
        return [self._mined(tx_hash, f.fn_name) for tx_hash, f in zip(hashes, functions, strict=True)]

    def create(self, name: str, arguments: Sequence[Any]) -> str:
        """Deploys a contract and returns its address."""
        code = artifact(name)
        contract = self.w3.eth.contract(abi=code.abi, bytecode=code.bytecode)
        with explain():
            transaction = contract.constructor(*arguments).build_transaction(
                {"from": self.address, "gas": 15_000_000, **self._fees()}
            )
        receipt = self._send({"data": transaction["data"], "gas": 15_000_000}, describe=f"create {name}")
        return str(receipt["contractAddress"])

    def transact(self, to: str, data: bytes, *, gas: int, describe: str) -> TxReceipt:
        """Sends bytes to a contract and waits until it is mined. Raises Reverted."""
        return self._send({"to": to_checksum_address(to), "data": data, "gas": gas}, describe=describe)

    def broadcast_foreign(self, raw: bytes, *, describe: str) -> TxReceipt:
        """Sends what somebody else signed, or finds it sent already, and waits until it is mined. Raises Reverted."""
        tx_hash = HexBytes(keccak(raw))
        try:
            with explain():
                self.w3.eth.send_raw_transaction(raw)
        except Reverted:
            if not self._knows(tx_hash):
                raise
        return self._mined(tx_hash, describe)

    def _knows(self, tx_hash: HexBytes) -> bool:
        try:
            self.w3.eth.get_transaction(tx_hash)
        except TransactionNotFound:
            return False
        return True

    def fee_per_gas_wei(self) -> int:
        """The most that the next transaction offers to pay a gas."""
        return self._fees()["maxFeePerGas"]

    def _fees(self) -> dict[str, int]:
        base = self.w3.eth.get_block("latest").get("baseFeePerGas", 0)
        return {"maxFeePerGas": 2 * base + 10**9, "maxPriorityFeePerGas": 10**9}

    def _send(self, fields: dict[str, Any], *, describe: str) -> TxReceipt:
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

    def _broadcast(self, fields: dict[str, Any]) -> HexBytes:
        transaction = {"value": 0, "chainId": self.w3.eth.chain_id, "type": 2, **fields, **self._fees()}
        signed = Account.sign_transaction(transaction, self.signer.private_key())
        with explain():
            return self.w3.eth.send_raw_transaction(signed.raw_transaction)

    def _mined(self, tx_hash: HexBytes, describe: str) -> TxReceipt:
        receipt = self._wait(tx_hash)
        if receipt["status"] != 1:
            raise Reverted(f"{describe} failed in {tx_hash.to_0x_hex()}")
        return receipt

    def _wait(self, tx_hash: HexBytes) -> TxReceipt:
        until = time.monotonic() + self._wait_s
        while time.monotonic() < until:
            try:
                return self.w3.eth.get_transaction_receipt(tx_hash)
            except TransactionNotFound:
                time.sleep(0.25)
        raise ChainUnavailable("the chain", f"{tx_hash.to_0x_hex()} was not mined within {self._wait_s:.0f} s")
