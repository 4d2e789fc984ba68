"""One suite for the fake node and a real one: both refuse, know and forget transactions in the same way."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest
from eth_account import Account

from backend.chain.errors import NodeRefused, Refusal
from backend.chain.tx_manager import TxManager
from backend.chain.tx_port import RpcPort, TxPort
from contracts.onchain.chain import connect
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.signing import Signer
from tests.integration.backend.worker.bench import KEYS, Bench
from tests.world.anvil import anvil, rpc
from tests.world.fake_node import FakeNode

SIGNER = Signer(keccak(b"sender"))


class Node(Protocol):
    """A port whose mining the test holds."""

    port: TxPort

    def mine(self) -> None: ...


@dataclass
class Fake:
    port: FakeNode

    def mine(self) -> None:
        self.port.mine()


@dataclass
class Real:
    port: RpcPort
    url: str

    def mine(self) -> None:
        rpc(connect(self.url), "evm_mine")


@pytest.fixture(params=["fake", "anvil"])
def node(request: pytest.FixtureRequest) -> Iterator[Node]:
    if request.param == "fake":
        yield Fake(FakeNode())
        return
    with anvil() as url:
        w3 = connect(url)
        rpc(w3, "evm_setAutomine", False)
        rpc(w3, "anvil_setBalance", SIGNER.address, hex(10**20))
        yield Real(RpcPort(w3), url)


def raw(nonce: int, fee_wei: int = 3 * 10**9, tip_wei: int = 10**9, data: str = "0x") -> bytes:
    fields = {
        "type": 2, "chainId": 31337, "nonce": nonce, "to": "0x" + "11" * 20, "value": 0, "data": data, "gas": 50_000,
        "maxFeePerGas": fee_wei, "maxPriorityFeePerGas": tip_wei,
    }  # fmt: skip
    return bytes(Account.sign_transaction(fields, SIGNER.private_key()).raw_transaction)


def refusal_of(node: Node, data: bytes) -> Refusal:
    with pytest.raises(NodeRefused) as caught:
        node.port.send(data)
    return caught.value.refusal


def test_a_node_takes_a_transaction_once(node: Node) -> None:
    """Known while in the pool, a used nonce after; the receipt is found by the hash.
    Covers: A43
    """
    one, tx_hash = raw(0), to_hex(keccak(raw(0)))
    assert not node.port.known(tx_hash)
    node.port.send(one)
    assert node.port.known(tx_hash)
    assert node.port.receipt(tx_hash) is None
    assert refusal_of(node, one) is Refusal.KNOWN
    node.mine()
    mined = node.port.receipt(tx_hash)
    assert mined is not None
    assert mined.succeeded
    assert node.port.nonce(SIGNER.address) == 1
    assert node.port.nonce(SIGNER.address, mined.block_number - 1) == 0
    assert refusal_of(node, raw(0, data="0x01")) is Refusal.NONCE_TOO_LOW


def test_a_replacement_needs_a_higher_fee(node: Node) -> None:
    """The same nonce at the same fee is refused, at 12.5 % more it takes the place of the first. Covers: A42"""
    node.port.send(raw(0))
    assert refusal_of(node, raw(0, data="0x01")) is Refusal.UNDERPRICED
    dearer = raw(0, fee_wei=3_375_000_000, tip_wei=1_125_000_000, data="0x01")
    node.port.send(dearer)
    node.mine()
    assert node.port.receipt(to_hex(keccak(dearer))) is not None
    assert node.port.receipt(to_hex(keccak(raw(0)))) is None


def test_a_gap_waits(node: Node) -> None:
    """A nonce ahead of its turn is taken and waits until the gap is filled. Covers: A42"""
    node.port.send(raw(1))
    node.mine()
    assert node.port.nonce(SIGNER.address) == 0
    node.port.send(raw(0))
    node.mine()
    node.mine()
    assert node.port.nonce(SIGNER.address) == 2


def test_a_revert_carries_the_contracts_own_words(bench: Bench) -> None:
    """A transaction that was mined and refused is reported with the custom error and its values; the next goes on."""
    manager = TxManager(bench.database, RpcPort(bench.w3), KEYS["settler"], confirmations=0)
    functions = bench.chain.escrow.functions
    wrong = functions.postEpoch(7, bytes(32), 0, bytes(32), bytes(32))
    right = functions.postEpoch(1, bytes(32), 0, bench.beacon.value(1), bytes(32))
    for key, function in (("wrong", wrong), ("right", right)):
        data = from_hex(function.data)
        manager.ensure(key, bench.chain.escrow.address, data, 200_000, now=bench.now)
    errors = [error for _ in range(3) for error in manager.step(bench.now)]
    assert [error.key for error in errors] == ["wrong"]
    assert errors[0].reason == "the contract refused: JobEscrow_WrongEpochId(7, 1)"
    assert {receipt.key: receipt.error is None for receipt in bench.receipts()} == {"right": True, "wrong": False}
