"""An operator joins: registers, adds its node's key, stakes, gives the node gas for appeals.

Every step is done once, so joining again is harmless. What all missing steps need is looked at before the first one is
sent, so that whoever funds the owner is told everything at once.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import from_hex
from contracts.protocol.signing import Signer
from contracts.protocol.wire import PriceSheetEntry
from node_agent.errors import BadSetting, NotFunded
from node_agent.session.chain_facts import call
from node_agent.session.earnings import Account, read_account
from node_agent.session.gas import (
    APPEALS_FUNDED,
    APPROVE_GAS,
    NODE_KEY_GAS,
    PAY_GAS,
    REGISTER_GAS,
    STAKE_GAS,
    appeal_wei,
    balance_wei,
    ether,
    gas_price_wei,
)

JOBS_AT_ONCE = 10
"""How many of the dearest jobs the stake covers that `assay node init` proposes."""

OnStep = Callable[[str], None]
"""Hears what is being done, in words for people."""


@dataclass(frozen=True)
class Goal:
    """Where an operator wants to be: paid to `payout` (None: as it is, or its owner), with at least that stake."""

    payout: str | None
    stake_units: int


def proposed_stake_units(price_sheet: list[PriceSheetEntry], penalty_multiple: int) -> int:
    """The stake that covers JOBS_AT_ONCE open jobs of the dearest workload at today's prices."""
    dearest = max((entry.fixed_price + entry.max_units * entry.unit_price for entry in price_sheet), default=0)
    return JOBS_AT_ONCE * penalty_multiple * dearest


def join(chain: Chain, owner: Sender, node: Signer, goal: Goal, *, on_step: OnStep = lambda step: None) -> Account:
    """Brings an operator to where it can serve: an account of `owner`, this node key, at least that stake.

    Raises:
        NotFunded: the owner lacks gas or tokens for what is still to be done; names both. Nothing was sent.
        BadSetting: the account exists with another payout address, or the node's key is another operator's.
        ChainError: the chain refused or did not answer.
    """
    account = _account_of(chain, owner.address)
    _check_identity(chain, account, node, goal)
    _require_funds(chain, owner.address, node, account, goal)
    if account is None:
        payout = goal.payout or owner.address
        on_step(f"registering {owner.address.lower()} with payout {payout.lower()}")
        owner.call(chain.stakes.functions.register(to_checksum_address(payout)))
        operator_id = int(call(chain.stakes.functions.operatorIdOf(owner.address)))
        account = read_account(chain, operator_id)
    _add_node_key(chain, owner, node, account.operator_id, on_step)
    if account.stake_units < goal.stake_units:
        _stake(chain, owner, account.operator_id, goal.stake_units - account.stake_units, on_step)
    gift_wei = _gift_wei(chain, node)
    if gift_wei:
        on_step(f"sending {ether(gift_wei)} ether to the hot key {node.address}, for appeals")
        owner.pay([node.address], gift_wei)
    return read_account(chain, account.operator_id)


def add_stake(chain: Chain, owner: Sender, operator_id: int, units: int, on_step: OnStep = lambda step: None) -> None:
    """Moves tokens of the owner into its stake. Raises NotFunded or ChainError."""
    gas = APPROVE_GAS + STAKE_GAS
    _require(chain, owner.address, gas * gas_price_wei(chain), units * chain.deployment.constants.unit_wei)
    _stake(chain, owner, operator_id, units, on_step)


def revoke_node_key(chain: Chain, owner: Sender, node: str, on_step: OnStep = lambda step: None) -> None:
    """Takes a node key from the owner's account, at once and for ever. Raises NotFunded or ChainError."""
    _require(chain, owner.address, NODE_KEY_GAS * gas_price_wei(chain), 0)
    on_step(f"revoking the node key {node.lower()}")
    owner.call(chain.stakes.functions.revokeNodeKey(to_checksum_address(node)))


def _account_of(chain: Chain, owner: str) -> Account | None:
    operator_id = int(call(chain.stakes.functions.operatorIdOf(to_checksum_address(owner))))
    return read_account(chain, operator_id) if operator_id else None


def _check_identity(chain: Chain, account: Account | None, node: Signer, goal: Goal) -> None:
    if account is not None and goal.payout is not None and account.payout != goal.payout.lower():
        raise BadSetting(
            f"Operator {account.operator_id} is paid to {account.payout}, not to {goal.payout.lower()}.",
            way_out="Give that address, or change it first with StakeManager.setPayout and wait out its delay.",
            found=account.payout,
            expected=goal.payout.lower(),
        )
    revoked_at = call(chain.stakes.functions.nodeKeys(to_checksum_address(node.address))).revokedAt
    if revoked_at:
        raise BadSetting(
            f"The node key {node.address} was revoked at {revoked_at} (Unix seconds).",
            way_out="A key that was revoked is nobody's for ever; use another --home for a new node key.",
            found=revoked_at,
        )
    holder = _holder(chain, node)
    if holder not in (0, account.operator_id if account is not None else 0):
        raise BadSetting(
            f"The node key {node.address} belongs to operator {holder}, not to this owner's.",
            way_out="A key belongs to one operator for ever; use another --home for a new node key.",
            found=holder,
        )


def _require_funds(chain: Chain, owner: str, node: Signer, account: Account | None, goal: Goal) -> None:
    missing_units = max(0, goal.stake_units - (account.stake_units if account is not None else 0))
    gas = (REGISTER_GAS if account is None else 0) + (NODE_KEY_GAS if _holder(chain, node) == 0 else 0)
    gas += APPROVE_GAS + STAKE_GAS if missing_units else 0
    gift_wei = _gift_wei(chain, node)
    gas += PAY_GAS if gift_wei else 0
    needed_wei = gas * gas_price_wei(chain) + gift_wei
    _require(chain, owner, needed_wei, missing_units * chain.deployment.constants.unit_wei)


def _gift_wei(chain: Chain, node: Signer) -> int:
    """What the hot key is topped up with: nothing while it can pay for two appeals."""
    one, held = appeal_wei(chain), balance_wei(chain, node.address)
    return 0 if held >= 2 * one else APPEALS_FUNDED * one - held


def _require(chain: Chain, owner: str, gas_wei: int, token_wei: int) -> None:
    """Raises NotFunded, naming at once all that the owner lacks."""
    held_token_wei = chain.balance_wei(owner)
    held_wei = balance_wei(chain, owner)
    lacking = []
    if held_wei < gas_wei:
        lacking.append(f"{ether(gas_wei - held_wei)} ether for gas (it holds {ether(held_wei)})")
    if held_token_wei < token_wei:
        more, decimals = token_wei - held_token_wei, int(call(chain.token.functions.decimals()))
        amount = _decimal(more, decimals)
        lacking.append(
            f"{amount} tokens of {chain.deployment.token} for the stake (it holds {_decimal(held_token_wei, decimals)})"
        )
    if lacking:
        raise NotFunded(
            f"The owner {owner.lower()} on chain {chain.deployment.chain_id} lacks {' and '.join(lacking)}.",
            way_out="Send it that and run the same command again; what is done already stays done.",
            owner=owner.lower(),
            gas_wei=max(0, gas_wei - held_wei),
            token_wei=max(0, token_wei - held_token_wei),
        )


def _decimal(wei: int, decimals: int) -> str:
    whole, part = divmod(wei, 10**decimals)
    return f"{whole}.{part:0{decimals}d}".rstrip("0").rstrip(".")


def _stake(chain: Chain, owner: Sender, operator_id: int, units: int, on_step: OnStep) -> None:
    amount_wei = units * chain.deployment.constants.unit_wei
    on_step(f"staking {_decimal(amount_wei, int(call(chain.token.functions.decimals())))} tokens")
    owner.call(chain.token.functions.approve(chain.stakes.address, amount_wei))
    owner.call(chain.stakes.functions.stake(operator_id, units))


def _holder(chain: Chain, node: Signer) -> int:
    """The operator that a node key belongs to; 0: none."""
    return int(call(chain.stakes.functions.operatorOf(to_checksum_address(node.address))))


def _add_node_key(chain: Chain, owner: Sender, node: Signer, operator_id: int, on_step: OnStep) -> None:
    if _holder(chain, node) == operator_id:
        return
    on_step(f"adding the node key {node.address}")
    digest = chain.deployment.stake_domain.node_key_digest(owner.address, node.address)
    signature = from_hex(node.sign(digest))
    owner.call(chain.stakes.functions.addNodeKey(to_checksum_address(node.address), signature))
