"""What a chain answers is read as web3 reads it, on both kinds of chain: an implementation that is not ours."""

from collections.abc import Mapping
from typing import Any

import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractLogicError

from contracts.onchain.artifacts import artifact
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import deploy
from contracts.onchain.discovery import deployment_of
from contracts.onchain.errors import NotKnown, RequestRefused, Reverted, WrongContract
from contracts.onchain.rpc import Rpc
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.signing import Signer
from deploy.localnet.chain.embedded import MNEMONIC

pytestmark = pytest.mark.chain
SOMEBODY = "0x" + "51" * 20


@pytest.fixture
def sender(w3: Rpc) -> Sender:
    Account.enable_unaudited_hdwallet_features()
    return Sender(w3, Signer(bytes(Account.from_mnemonic(MNEMONIC).key)))


@pytest.fixture
def chain(sender: Sender) -> Chain:
    """Contracts in which something happened: an account with a stake, a lane."""
    deployed = deploy(sender, DEVELOPMENT, settler=SOMEBODY, treasury=SOMEBODY, beacon_anchor="0x" + "11" * 32)
    chain = Chain(sender.w3, deployed)
    for contract in (chain.stakes, chain.escrow):
        sender.call(chain.token.functions.approve(contract.address, 10**30))
    sender.call(chain.stakes.functions.register(sender.address))
    sender.call(chain.stakes.functions.stake(1, 50))
    sender.call(chain.escrow.functions.deposit(sender.address, sender.address, 70))
    return chain


def same(ours: Any, theirs: Any, place: str) -> None:
    """What we read is what web3 reads there; it may have read more."""
    if isinstance(ours, dict):
        assert isinstance(theirs, Mapping), place
        for name, value in ours.items():
            same(value, theirs[name], f"{place}.{name}")
    elif isinstance(ours, list):
        assert len(ours) == len(theirs), place
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            same(one, other, f"{place}[{number}]")
    else:
        assert ours == theirs, place


def test_blocks_transactions_receipts_logs_and_state_are_web3s(w3: Rpc, sender: Sender, chain: Chain) -> None:
    """Protects: a field that is read from another place, or as another kind of value."""
    theirs, ours = Web3(HTTPProvider(w3.url)).eth, w3.eth
    last = chain.head().number
    assert ours.chain_id == theirs.chain_id
    logs = {"fromBlock": 0, "toBlock": last, "address": [chain.stakes.address, chain.escrow.address]}
    found = ours.get_logs(logs)
    assert {log["address"] for log in found} == {chain.stakes.address, chain.escrow.address}
    same(found, theirs.get_logs(logs), "logs")  # type: ignore[arg-type]  # a plain dict
    for number in {log["blockNumber"] for log in found}:
        same(ours.get_block(number), theirs.get_block(number), "block")
        same(ours.get_block(number, True), theirs.get_block(number, True), "full block")
    same(ours.get_block(found[0]["blockHash"]), theirs.get_block(found[0]["blockHash"]), "block by hash")
    for tx_hash in {log["transactionHash"] for log in found}:
        same(ours.get_transaction(tx_hash), theirs.get_transaction(tx_hash), "transaction")
        same(ours.get_transaction_receipt(tx_hash), theirs.get_transaction_receipt(tx_hash), "receipt")
    for address in (sender.address, chain.escrow.address):
        assert ours.get_code(address) == theirs.get_code(address)  # type: ignore[arg-type]  # checksummed
        for at in (0, last):
            assert ours.get_balance(address, at) == theirs.get_balance(address, at)  # type: ignore[arg-type]
            assert ours.get_transaction_count(address, at) == theirs.get_transaction_count(address, at)  # type: ignore[arg-type]


def test_calls_and_refusals_are_web3s(w3: Rpc, sender: Sender, chain: Chain) -> None:
    """Protects: an answer read otherwise, at another block, or a refusal taken for an answer."""
    theirs = Web3(HTTPProvider(w3.url)).eth
    stakes = theirs.contract(address=chain.stakes.address, abi=artifact("StakeManager").abi, decode_tuples=True)  # type: ignore[call-overload]
    operator, before = chain.stakes.functions.operators(1), chain.deployment.first_block
    assert operator.call() == stakes.functions.operators(1).call()
    assert operator.call()._asdict() == stakes.functions.operators(1).call()._asdict()
    again = {"from": sender.address}
    estimate = chain.stakes.functions.stake(1, 5).estimate_gas(again)
    assert estimate == stakes.functions.stake(1, 5).estimate_gas(again)
    with pytest.raises(ContractLogicError) as expected:
        stakes.functions.register(sender.address).call(again)
    with pytest.raises(Reverted, match="StakeManager_AlreadyRegistered") as refused:
        chain.stakes.functions.register(sender.address).call(again)
    assert str(expected.value.data).startswith("0x")
    assert refused.value.arguments == (sender.address.lower(), 1)
    with pytest.raises(Reverted):
        chain.stakes.functions.register(sender.address).estimate_gas(again)
    held = chain.token.functions.balanceOf(sender.address)
    token = theirs.contract(address=chain.token.address, abi=artifact("DevToken").abi)  # type: ignore[call-overload]
    for at in (before, "latest"):
        assert held.call(block_identifier=at) == token.functions.balanceOf(sender.address).call(block_identifier=at)
    assert held.call(block_identifier=before) != held.call()


def test_what_is_not_there_has_its_own_kind(w3: Rpc, sender: Sender, chain: Chain) -> None:
    """Protects: absence taken for a fault, and a fault for absence."""
    nothing = "0x" + "77" * 32
    for ask in (w3.eth.get_transaction, w3.eth.get_transaction_receipt, w3.eth.get_block):
        with pytest.raises(NotKnown):
            ask(nothing)
    with pytest.raises(NotKnown):
        chain.block(10**6)
    with pytest.raises(RequestRefused):
        w3.request("eth_noSuchMethod")
    with pytest.raises(RequestRefused):
        w3.eth.send_raw_transaction(b"\2\1")
    with pytest.raises(WrongContract):
        deployment_of(w3, chain.token.address)
    assert deployment_of(w3, chain.escrow.address).constants == DEVELOPMENT
