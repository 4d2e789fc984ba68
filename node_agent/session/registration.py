"""An operator joins: registers, adds its node's key, stakes, gives the node gas for appeals.

Every step happens once, so joining again is harmless. The cost of all missing steps is checked before the first one, so
that the owner learns at once how much to fund.
"""

from collections.abc import Callable

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.sender import Sender
from contracts.protocol.amounts import TokenScale
from contracts.protocol.hashing import from_hex
from contracts.protocol.signing import Signer
from contracts.protocol.wire import PriceSheetEntry
from node_agent.errors import BadSetting, NotFunded
from node_agent.session import gas
from node_agent.session.earnings import Account, read_account

JOBS_AT_ONCE = 10
"""The stake that `assay node init` proposes covers so many of the dearest jobs."""

OnStep = Callable[[str], None]
"""Receives what is being done, in words for people."""


def proposed_stake_units(price_sheet: list[PriceSheetEntry], penalty_multiple: int) -> int:
    """The stake that covers JOBS_AT_ONCE open jobs of the dearest workload at today's prices."""
    dearest = max((entry.fixed_price + entry.max_units * entry.unit_price for entry in price_sheet), default=0)
    return JOBS_AT_ONCE * penalty_multiple * dearest


def join(chain: Chain, owner: Sender, node: Signer, payout: str | None, stake_units: int, on_step: OnStep) -> Account:
    """Takes every missing step before an operator can serve: account, node key, stake of at least `stake_units`.

    `payout`: where claims go; None: as it is, or the owner. Raises NotFunded, before anything is sent, if the owner
    lacks gas or tokens; BadSetting for another payout address than the account's, or a node key that was revoked or is
    another operator's; ChainError.
    """
    operator_id = _operator_of_owner(chain, owner.address)
    account = read_account(chain, operator_id) if operator_id else None
    _check_identity(chain, account, node, payout)
    missing_units = max(0, stake_units - (account.stake_units if account is not None else 0))
    _require_funds(chain, owner.address, node, account, missing_units)
    if account is None:
        payout = payout or owner.address
        on_step(f"registering {owner.address.lower()} with payout {payout.lower()}")
        owner.call(chain.stakes.functions.register(to_checksum_address(payout)))
        account = read_account(chain, _operator_of_owner(chain, owner.address))
    _add_node_key(chain, owner, node, account.operator_id, on_step)
    if missing_units:
        _stake(chain, owner, account.operator_id, missing_units, on_step)
    gift_wei = _gift_wei(chain, node)
    if gift_wei:
        on_step(f"sending {gas.ether(gift_wei)} ether to the hot key {node.address}, for appeals")
        owner.pay([node.address], gift_wei)
    return read_account(chain, account.operator_id)


def add_stake(chain: Chain, owner: Sender, operator_id: int, units: int, on_step: OnStep = lambda step: None) -> None:
    """Moves the owner's tokens into its stake. Raises NotFunded or ChainError."""
    needed_wei = (gas.APPROVE_GAS + gas.STAKE_GAS) * gas.gas_price_wei(chain)
    _require(chain, owner.address, needed_wei, units * chain.deployment.constants.unit_wei)
    _stake(chain, owner, operator_id, units, on_step)


def revoke_node_key(chain: Chain, owner: Sender, node: str, on_step: OnStep = lambda step: None) -> None:
    """Revokes a node key at once and for ever. Raises NotFunded or ChainError."""
    _require(chain, owner.address, gas.NODE_KEY_GAS * gas.gas_price_wei(chain), 0)
    on_step(f"revoking the node key {node.lower()}")
    owner.call(chain.stakes.functions.revokeNodeKey(to_checksum_address(node)))


def _operator_of_owner(chain: Chain, owner: str) -> int:
    return int(chain.stakes.functions.operatorIdOf(to_checksum_address(owner)).call())


def _check_identity(chain: Chain, account: Account | None, node: Signer, payout: str | None) -> None:
    if account is not None and payout is not None and account.payout != payout.lower():
        says = f"Operator {account.operator_id} is paid to {account.payout}, not to {payout.lower()}."
        way_out = "Give that address, or change it first with StakeManager.setPayout and wait out its delay."
        raise BadSetting(says, way_out=way_out, found=account.payout, expected=payout.lower())
    revoked_at = chain.stakes.functions.nodeKeys(to_checksum_address(node.address)).call().revokedAt
    if revoked_at:
        says = f"The node key {node.address} was revoked at {revoked_at} (Unix seconds)."
        way_out = "A revoked key can never be used again; give another --home for a new node key."
        raise BadSetting(says, way_out=way_out, found=revoked_at)
    holder = _holder(chain, node)
    if holder not in (0, account.operator_id if account is not None else 0):
        says = f"The node key {node.address} belongs to operator {holder}, not to this owner's."
        way_out = "A key belongs to one operator for ever; give another --home for a new node key."
        raise BadSetting(says, way_out=way_out, found=holder)


def _require_funds(chain: Chain, owner: str, node: Signer, account: Account | None, missing_units: int) -> None:
    units = (gas.REGISTER_GAS if account is None else 0) + (gas.NODE_KEY_GAS if _holder(chain, node) == 0 else 0)
    units += gas.APPROVE_GAS + gas.STAKE_GAS if missing_units else 0
    gift_wei = _gift_wei(chain, node)
    units += gas.PAY_GAS if gift_wei else 0
    needed_wei = units * gas.gas_price_wei(chain) + gift_wei
    _require(chain, owner, needed_wei, missing_units * chain.deployment.constants.unit_wei)


def _gift_wei(chain: Chain, node: Signer) -> int:
    """Gas to send to the hot key: none while it can pay for two appeals."""
    one, held = gas.appeal_wei(chain), gas.balance_wei(chain, node.address)
    return 0 if held >= 2 * one else gas.APPEALS_FUNDED * one - held


def _require(chain: Chain, owner: str, gas_wei: int, token_wei: int) -> None:
    """Raises NotFunded, naming at once all that the owner lacks."""
    held_token_wei = chain.balance_wei(owner)
    held_wei = gas.balance_wei(chain, owner)
    lacking = []
    if held_wei < gas_wei:
        lacking.append(f"{gas.ether(gas_wei - held_wei)} ether for gas (it holds {gas.ether(held_wei)})")
    if held_token_wei < token_wei:
        more, held = _tokens(chain, token_wei - held_token_wei), _tokens(chain, held_token_wei)
        lacking.append(f"{more} tokens of {chain.deployment.token} for the stake (it holds {held})")
    if lacking:
        raise NotFunded(
            f"The owner {owner.lower()} on chain {chain.deployment.chain_id} lacks {' and '.join(lacking)}.",
            way_out="Send it that and run the same command again; finished steps are not repeated.",
            owner=owner.lower(),
            gas_wei=max(0, gas_wei - held_wei),
            token_wei=max(0, token_wei - held_token_wei),
        )


def _tokens(chain: Chain, wei: int) -> str:
    return TokenScale(chain.token.functions.decimals().call(), unit_wei=1).show(wei)


def _stake(chain: Chain, owner: Sender, operator_id: int, units: int, on_step: OnStep) -> None:
    amount_wei = units * chain.deployment.constants.unit_wei
    on_step(f"staking {_tokens(chain, amount_wei)} tokens")
    owner.call(chain.token.functions.approve(chain.stakes.address, amount_wei))
    owner.call(chain.stakes.functions.stake(operator_id, units))


def _holder(chain: Chain, node: Signer) -> int:
    """The operator that a node key belongs to; 0: none."""
    return int(chain.stakes.functions.operatorOf(to_checksum_address(node.address)).call())


def _add_node_key(chain: Chain, owner: Sender, node: Signer, operator_id: int, on_step: OnStep) -> None:
    if _holder(chain, node) == operator_id:
        return
    on_step(f"adding the node key {node.address}")
    digest = chain.deployment.stake_domain.node_key_digest(owner.address, node.address)
    signature = from_hex(node.sign(digest))
    owner.call(chain.stakes.functions.addNodeKey(to_checksum_address(node.address), signature))
