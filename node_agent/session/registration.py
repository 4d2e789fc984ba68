"""An operator joins: registers, adds its node's key, stakes. Every step is done once, so joining again is harmless."""

from collections.abc import Callable

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.reverts import explain
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import from_hex
from contracts.protocol.signing import Signer
from node_agent.errors import BadSetting, NotFunded
from node_agent.session.chain_facts import call
from node_agent.session.earnings import Account, read_account

OnStep = Callable[[str], None]
"""Hears what is being done, in words for people."""


def join(
    chain: Chain,
    owner: Sender,
    node: Signer,
    *,
    payout: str,
    stake_units: int,
    on_step: OnStep = lambda step: None,
) -> Account:
    """Brings an operator to where it can serve: an account of `owner`, this node key, and at least that stake.

    Raises:
        NotFunded: the owner lacks gas or tokens.
        BadSetting: the account exists with another payout address, or the node's key is another operator's.
        ChainError: the chain refused or did not answer.
    """
    _require_gas(chain, owner)
    operator_id = int(call(chain.stakes.functions.operatorIdOf(owner.address)))
    if operator_id == 0:
        on_step(f"registering {owner.address.lower()} with payout {payout}")
        owner.call(chain.stakes.functions.register(to_checksum_address(payout)))
        operator_id = int(call(chain.stakes.functions.operatorIdOf(owner.address)))
    account = read_account(chain, operator_id)
    if account.payout != payout.lower():
        raise BadSetting(
            f"Operator {operator_id} is paid to {account.payout}, not to {payout.lower()}.",
            way_out="Give that address, or change it first with StakeManager.setPayout and wait out its delay.",
            found=account.payout,
            expected=payout.lower(),
        )
    _add_node_key(chain, owner, node, operator_id, on_step)
    if account.stake_units < stake_units:
        add_stake(chain, owner, operator_id, stake_units - account.stake_units, on_step)
    return read_account(chain, operator_id)


def add_stake(chain: Chain, owner: Sender, operator_id: int, units: int, on_step: OnStep = lambda step: None) -> None:
    """Moves tokens of the owner into its stake. Raises NotFunded or ChainError."""
    _require_gas(chain, owner)
    amount_wei = units * chain.deployment.constants.unit_wei
    held_wei = chain.balance_wei(owner.address)
    if held_wei < amount_wei:
        raise NotFunded(
            f"{owner.address.lower()} holds {held_wei} base units of the token, {amount_wei} are to be staked.",
            way_out=f"Send it {amount_wei - held_wei} more of token {chain.deployment.token}, or stake less.",
            held_wei=held_wei,
            needed_wei=amount_wei,
        )
    on_step(f"staking {units} units")
    owner.call(chain.token.functions.approve(chain.stakes.address, amount_wei))
    owner.call(chain.stakes.functions.stake(operator_id, units))


def _add_node_key(chain: Chain, owner: Sender, node: Signer, operator_id: int, on_step: OnStep) -> None:
    holder = int(call(chain.stakes.functions.operatorOf(to_checksum_address(node.address))))
    if holder == operator_id:
        return
    if holder != 0:
        raise BadSetting(
            f"The node key {node.address} belongs to operator {holder}, not to {operator_id}.",
            way_out="A key belongs to one operator for ever; use another --home for a new node key.",
            found=holder,
            expected=operator_id,
        )
    on_step(f"adding the node key {node.address}")
    digest = chain.deployment.stake_domain.node_key_digest(owner.address, node.address)
    signature = from_hex(node.sign(digest))
    owner.call(chain.stakes.functions.addNodeKey(to_checksum_address(node.address), signature))


def _require_gas(chain: Chain, owner: Sender) -> None:
    with explain():
        held_wei = chain.w3.eth.get_balance(owner.address)
    if held_wei == 0:
        raise NotFunded(
            f"{owner.address.lower()} has no native coin on chain {chain.deployment.chain_id} to pay gas with.",
            way_out="Send it some and run the command again; what is done already stays done.",
            address=owner.address.lower(),
        )
