"""StakeManager (SPEC section 7): accounts, keys, stake and locks."""

from dataclasses import dataclass, field

from contracts.model.base import ZERO_ADDRESS, Chain, Value, add64, refuse_if, signer_of
from contracts.model.token import Token, UnitToken
from contracts.protocol.constants import Constants
from contracts.protocol.typed_data import Domain


@dataclass
class Account:
    """An account, of a node operator or a verifier."""

    owner: str = ZERO_ADDRESS
    payout: str = ZERO_ADDRESS
    pending_payout: str = ZERO_ADDRESS
    payout_at: int = 0
    stake: int = 0
    unbonding: int = 0
    locked: int = 0
    unbond_at: int = 0
    has_node_keys: bool = False
    is_verifier: bool = False
    verifier_key: str = ZERO_ADDRESS

    @property
    def slashable(self) -> int:
        """All that a slash can take, locked or not."""
        return self.stake + self.unbonding


@dataclass
class NodeKey:
    """A key's account; `revoked_at` 0: not revoked."""

    operator_id: int = 0
    revoked_at: int = 0


@dataclass
class Checkpoints:
    """A number's history by block."""

    points: list[tuple[int, int]] = field(default_factory=list)

    def latest(self) -> int:
        """The current value."""
        return self.points[-1][1] if self.points else 0

    def at(self, block: int) -> int:
        """The value at the end of a block."""
        return next((value for since, value in reversed(self.points) if since <= block), 0)

    def push(self, block: int, value: int) -> None:
        """Sets the value from this block on."""
        if self.points and self.points[-1][0] == block:
            self.points.pop()
        self.points.append((block, value))


@dataclass
class Stakes:
    """The contract's state and functions."""

    chain: Chain
    address: str
    token: Token
    constants: Constants
    governor: str
    escrow: str
    court: str
    sink: str
    accounts: dict[int, Account] = field(default_factory=dict)
    id_of_owner: dict[str, int] = field(default_factory=dict)
    node_keys: dict[str, NodeKey] = field(default_factory=dict)
    account_of_key: dict[str, int] = field(default_factory=dict)
    active: dict[int, Checkpoints] = field(default_factory=dict)
    total_active: Checkpoints = field(default_factory=Checkpoints)
    total: int = 0
    rewards: int = 0
    sunk: int = 0

    # ---- owners

    def register(self, caller: str, payout: str) -> int:
        """Creates an account, one per owner."""
        known = self.id_of_owner.get(caller, 0)
        refuse_if(known != 0, "StakeManager_AlreadyRegistered", caller, known)
        refuse_if(payout == ZERO_ADDRESS, "StakeManager_ZeroPayout")
        new = len(self.accounts) + 1
        self.accounts[new] = Account(owner=caller, payout=payout)
        self.id_of_owner[caller] = new
        self._emit("Registered", new, caller, payout)
        return new

    def add_node_key(self, caller: str, node: str, signature: bytes) -> None:
        """Adds a key that signed for this owner. A key can be used only once."""
        own = self._id_of(caller)
        refuse_if(self.accounts[own].verifier_key != ZERO_ADDRESS, "StakeManager_IsVerifierAccount", own)
        self._require_unused(node)
        found = signer_of(self.domain.node_key_digest(caller, node), signature)
        refuse_if(found != node, "StakeManager_NotSignedByNode", node, found)
        self.accounts[own].has_node_keys = True
        self.node_keys[node] = NodeKey(own)
        self._emit("NodeKeyAdded", own, node)

    def revoke_node_key(self, caller: str, node: str) -> None:
        """Revokes a key of the caller, at once and for ever."""
        own = self._id_of(caller)
        refuse_if(self.operator_of(node) != own, "StakeManager_NotNodeKey", own, node)
        self.node_keys[node].revoked_at = self.chain.now
        self._emit("NodeKeyRevoked", own, node)

    def set_payout(self, caller: str, payout: str) -> None:
        """Changes the payout address after a delay."""
        own = self._id_of(caller)
        refuse_if(payout == ZERO_ADDRESS, "StakeManager_ZeroPayout")
        account = self.accounts[own]
        account.payout = self.payout_of(own)
        account.pending_payout = payout
        account.payout_at = self.chain.now + self.constants.payout_delay_s
        self._emit("PayoutChanged", own, payout, account.payout_at)

    def unbond(self, caller: str, units: int) -> None:
        """Moves stake to unbonding; the clock restarts for all of it."""
        own = self._id_of(caller)
        account = self.accounts[own]
        refuse_if(units > account.stake, "StakeManager_StakeTooLow", own, account.stake, units)
        account.stake -= units
        account.unbonding += units
        account.unbond_at = self.chain.now
        self._update_active(own)
        self._emit("Unbonding", own, units, account.stake, account.unbonding, account.unbond_at)

    def withdraw_stake(self, caller: str, to: str) -> None:
        """Pays out what has unbonded, less locks beyond the stake."""
        own = self._id_of(caller)
        account = self.accounts[own]
        ends_at = account.unbond_at + self.constants.unbond_s
        refuse_if(self.chain.now < ends_at, "StakeManager_StillUnbonding", own, self.chain.now, ends_at)
        stays = max(0, account.locked - account.stake)
        nothing = account.unbonding <= stays
        refuse_if(nothing, "StakeManager_NothingToWithdraw", own, account.unbonding, account.locked)
        units = account.unbonding - stays
        account.unbonding = stays
        self.total -= units
        self._emit("StakeWithdrawn", own, to, units)
        self._unit_token.push(to, units)

    # ---- anyone

    def stake(self, caller: str, account_id: int, units: int) -> None:
        """Adds anyone's money to an account's stake."""
        self._require_known(account_id)
        self.total = add64(self.total, units)
        self._add_stake(account_id, units)
        self._emit("Staked", account_id, caller, units, self.accounts[account_id].stake)
        self._unit_token.pull(caller, units)

    def sweep(self, caller: str) -> None:
        """Pays slashed stake that is owed to nobody to the sink."""
        units, self.sunk = self.sunk, 0
        self._emit("Swept", units)
        self._unit_token.push(self.sink, units)

    # ---- governor

    def admit_verifier(self, caller: str, account_id: int, key: str) -> None:
        """Makes an account without node keys a verifier's."""
        refuse_if(caller != self.governor, "StakeManager_NotGovernor", caller)
        self._require_known(account_id)
        account = self.accounts[account_id]
        refuse_if(account.has_node_keys, "StakeManager_IsNodeAccount", account_id)
        refuse_if(account.is_verifier, "StakeManager_WrongVerifierState", account_id, True)
        self._require_unused(key)
        account.is_verifier = True
        account.verifier_key = key
        self.account_of_key[key] = account_id
        self._update_active(account_id)
        self._emit("VerifierAdmitted", account_id, key)

    def retire_verifier(self, caller: str, account_id: int) -> None:
        """Retires a verifier: its stake no longer counts."""
        refuse_if(caller != self.governor, "StakeManager_NotGovernor", caller)
        is_verifier = account_id in self.accounts and self.accounts[account_id].is_verifier
        refuse_if(not is_verifier, "StakeManager_WrongVerifierState", account_id, False)
        self.accounts[account_id].is_verifier = False
        self._update_active(account_id)
        self._emit("VerifierRetired", account_id)

    # ---- court

    def lock(self, caller: str, account_id: int, units: int) -> None:
        """Locks `units`, even beyond the stake."""
        refuse_if(caller != self.court, "StakeManager_NotCourt", caller)
        self.accounts[account_id].locked += units

    def lock_verifier(self, caller: str, key: str, units: int) -> int:
        """Locks all `units` of an active verifier and returns its account."""
        refuse_if(caller != self.court, "StakeManager_NotCourt", caller)
        account_id = self.verifier_of(key)
        account = self.accounts.get(account_id, Account())
        active = account.is_verifier and account.stake >= self.constants.min_verifier_stake_units
        refuse_if(not active, "StakeManager_NotActiveVerifier", key)
        free = account.slashable - account.locked
        refuse_if(free < units, "StakeManager_TooLittleFree", account_id, free, units)
        account.locked += units
        return account_id

    def unlock(self, caller: str, account_id: int, units: int) -> None:
        """Unlocks units."""
        refuse_if(caller != self.court, "StakeManager_NotCourt", caller)
        self._unlock(account_id, units)

    def slash(self, caller: str, account_id: int, units: int, refund: int, rewards: int) -> None:
        """Takes locked units: the refund goes to the escrow; rewards wait for verifiers, the rest for the sink."""
        refuse_if(caller != self.court, "StakeManager_NotCourt", caller)
        self._unlock(account_id, units)
        account = self.accounts[account_id]
        from_stake = min(units, account.stake)
        account.stake -= from_stake
        account.unbonding -= units - from_stake
        self.total -= units
        self._update_active(account_id)
        self.rewards += rewards
        self.sunk += units - refund - rewards
        self._emit("Slashed", account_id, units, refund, rewards, units - refund - rewards, account.stake)
        if refund > 0:
            self._unit_token.push(self.escrow, refund)

    def reward(self, caller: str, account_id: int, units: int) -> None:
        """Pays a reward out of earlier slashes into the account's unbonding stake."""
        refuse_if(caller != self.court, "StakeManager_NotCourt", caller)
        self.rewards -= units
        self.total += units
        account = self.accounts[account_id]
        account.unbonding += units
        self._emit("Rewarded", account_id, units, account.unbonding)

    # ---- views

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of node keys' signatures."""
        return Domain(self.token.chain_id, self.address)

    def key_of(self, node: str) -> NodeKey:
        """A node's key; all zero if it is nobody's."""
        return self.node_keys.get(node, NodeKey())

    def operator_of(self, node: str) -> int:
        """The key's account; 0: none, or revoked."""
        key = self.key_of(node)
        return 0 if key.revoked_at else key.operator_id

    def slashable_of(self, account_id: int) -> int:
        """All that a slash can take of an account."""
        return self.accounts.get(account_id, Account()).slashable

    def owner_of(self, account_id: int) -> str:
        """The owner; zero for an unknown account."""
        return self.accounts.get(account_id, Account()).owner

    def payout_of(self, account_id: int) -> str:
        """The current payout address."""
        account = self.accounts.get(account_id, Account())
        changed = account.payout_at != 0 and self.chain.now >= account.payout_at
        return account.pending_payout if changed else account.payout

    def verifier_of(self, key: str) -> int:
        """The account with this verifier key now."""
        account_id = self.account_of_key.get(key, 0)
        return account_id if account_id and self.accounts[account_id].verifier_key == key else 0

    def active_stake_at(self, account_id: int, block: int) -> int:
        """An account's active stake at a block."""
        return self.active.get(account_id, Checkpoints()).at(block)

    def total_active_stake_at(self, block: int) -> int:
        """All verifiers' active stake at a block."""
        return self.total_active.at(block)

    def held(self) -> int:
        """Base units owed."""
        return (self.total + self.rewards + self.sunk) * self.constants.unit_wei

    def donated(self) -> int:
        """Base units beyond what is owed."""
        return max(0, self.token.balance_of(self.address) - self.held())

    # ---- inside

    @property
    def _unit_token(self) -> UnitToken:
        return UnitToken(self.token, self.address, self.constants.unit_wei)

    def _emit(self, name: str, *values: Value) -> None:
        self.chain.emit(self.address, name, *values)

    def _id_of(self, caller: str) -> int:
        own = self.id_of_owner.get(caller, 0)
        refuse_if(own == 0, "StakeManager_NotRegistered", caller)
        return own

    def _require_known(self, account_id: int) -> None:
        refuse_if(account_id not in self.accounts, "StakeManager_UnknownId", account_id)

    def _require_unused(self, key: str) -> None:
        used = key == ZERO_ADDRESS or key in self.node_keys or key in self.account_of_key
        refuse_if(used, "StakeManager_KeyUsed", key)

    def _unlock(self, account_id: int, units: int) -> None:
        account = self.accounts[account_id]
        refuse_if(units > account.locked, "StakeManager_NotLocked", account_id, account.locked, units)
        account.locked -= units

    def _add_stake(self, account_id: int, units: int) -> None:
        self.accounts[account_id].stake += units
        self._update_active(account_id)

    def _update_active(self, account_id: int) -> None:
        account = self.accounts[account_id]
        counts = account.is_verifier and account.stake >= self.constants.min_verifier_stake_units
        units = account.stake if counts else 0
        own = self.active.setdefault(account_id, Checkpoints())
        if units != own.latest():
            self.total_active.push(self.chain.block, self.total_active.latest() - own.latest() + units)
            own.push(self.chain.block, units)
