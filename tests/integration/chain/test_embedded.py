"""The embedded chain behaves like a node: the same calls on it and on Anvil give the same answers."""

import pytest
from eth_account import Account

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import deploy
from contracts.onchain.errors import Reverted
from contracts.onchain.rpc import Rpc
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.signing import Signer
from contracts.record.history import read_history
from deploy.localnet.chain.embedded import MNEMONIC

pytestmark = pytest.mark.chain


def founder(w3: Rpc) -> Sender:
    Account.enable_unaudited_hdwallet_features()
    return Sender(w3, Signer(bytes(Account.from_mnemonic(MNEMONIC).key)))


def test_contracts_deploy_act_and_refuse_alike(w3: Rpc) -> None:
    """Protects: code that works on one chain only; errors that lose the contract's own reason."""
    sender = founder(w3)
    settler = "0x" + "51" * 20
    deployment = deploy(sender, DEVELOPMENT, settler=settler, treasury=settler, beacon_anchor="0x" + "11" * 32)
    chain = Chain(w3, deployment)
    assert chain.escrow.functions.domainSeparator().call() == deployment.domain.separator
    receipt = sender.call(chain.stakes.functions.register(sender.address))
    with pytest.raises(Reverted, match=r"StakeManager_AlreadyRegistered") as refused:
        sender.call(chain.stakes.functions.register(sender.address))
    assert refused.value.arguments == (sender.address.lower(), 1)
    events = chain.events(deployment.first_block, chain.head().number)
    assert [(event.name, event.args["id"]) for event in events] == [("Registered", 1)]
    assert events[0].tx_hash == bytes(receipt["transactionHash"])
    assert read_history(chain, chain.head().number).owners == {1: sender.address.lower()}
    assert chain.block(events[0].block_number).hash == events[0].block_hash


def test_logs_are_found_by_range_and_by_block_hash(w3: Rpc) -> None:
    """Protects: an indexer that misses or doubles a log."""
    sender = founder(w3)
    settler = "0x" + "51" * 20
    chain = Chain(w3, deploy(sender, DEVELOPMENT, settler=settler, treasury=settler, beacon_anchor="0x" + "11" * 32))
    stakes = chain.stakes.address
    calls = [chain.token.functions.approve(stakes, 10**18), chain.stakes.functions.register(sender.address)]
    receipts = sender.call_all([*calls, chain.stakes.functions.stake(1, 5)], gas=400_000)
    last = receipts[-1]
    by_range = w3.eth.get_logs({"fromBlock": 0, "toBlock": "latest", "address": stakes})
    by_hash = w3.eth.get_logs({"blockHash": last["blockHash"], "address": stakes})
    (staked,) = [log for log in last["logs"] if log["address"] == stakes]
    assert staked in by_range
    assert staked in by_hash
    places = [(log["blockNumber"], log["logIndex"]) for log in by_range]
    assert len(set(places)) == len(places)
