"""The one founding: contracts, funded lanes, stakes, node keys and admitted verifiers, on any chain."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from contracts.onchain.chain import Chain
from contracts.onchain.contract import ContractCall
from contracts.onchain.deployment import Deployment, deploy
from contracts.onchain.rpc import Rpc
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT, Constants
from contracts.protocol.hashing import from_hex, to_hex
from tests.world.parties import BEACON, address, key, owner_of

PARTIES = ("deployer", "settler", "treasury", "session", "alice", "bob", "requester", "canary", "stranger")


@dataclass(frozen=True)
class Operator:
    """An account in the StakeManager: `owner_of(name)` owns it, and `key(name)` serves it as a node or a verifier."""

    name: str
    stake_units: int = 0
    role: Literal["owner", "node", "verifier"] = "owner"


@dataclass(frozen=True)
class Plan:
    """What a founded chain holds. Accounts are numbered from 1 in the order of `operators`.

    `lanes`: units by party, from the deployer; `tokens`: units by party, to hold; `session_units`: of the lane that the
    treasury opens for its session key; `bond_units`: of the settler.
    """

    constants: Constants = DEVELOPMENT
    lanes: tuple[tuple[str, int], ...] = ()
    tokens: tuple[tuple[str, int], ...] = ()
    session_units: int = 0
    bond_units: int = 0
    operators: tuple[Operator, ...] = ()

    def addresses(self) -> list[str]:
        """Everybody who sends transactions."""
        names = [*(name for name, _ in self.tokens), *(operator.name for operator in self.operators)]
        return [address(each) for each in (*map(key, (*PARTIES, *names)), *map(owner_of, names))]

    def account(self, name: str) -> int:
        """An operator's number."""
        return 1 + [operator.name for operator in self.operators].index(name)


def deploy_contracts(w3: Rpc, plan: Plan) -> Deployment:
    """The contracts alone."""
    return deploy(
        Sender(w3, key("deployer")), plan.constants, settler=key("settler").address, treasury=key("treasury").address,
        beacon_anchor=to_hex(BEACON.anchor),
    )  # fmt: skip


class Furnishing:
    """Makes deployed contracts what a plan says. Everybody has ether; `pass_time` lets the timelock's seconds go by."""

    def __init__(self, w3: Rpc, deployment: Deployment, plan: Plan, pass_time: Callable[[int], None]) -> None:
        self._w3, self._plan, self._pass_time = w3, plan, pass_time
        self._chain = Chain(w3, deployment)
        self._stakes, self._escrow = self._chain.stakes.functions, self._chain.escrow.functions

    def furnish(self) -> None:
        """All of it."""
        for name in ("deployer", "treasury"):
            for contract in (self._chain.escrow, self._chain.stakes):
                self._call(name, self._chain.token.functions.approve(contract.address, 10**30))
        for name, units in self._plan.tokens:
            wei = units * self._plan.constants.unit_wei
            self._call("deployer", self._chain.token.functions.transfer(address(key(name)), wei))
        self._fill_lanes()
        for operator in self._plan.operators:
            self._register(operator)
        self._admit([operator.name for operator in self._plan.operators if operator.role == "verifier"])

    def _fill_lanes(self) -> None:
        for name, units in self._plan.lanes:
            lane = address(key(name))
            self._call("deployer", self._escrow.deposit(lane, lane, units))
        if self._plan.session_units:
            self._call("treasury", self._escrow.openLane(address(key("session")), 2**32 - 1, self._plan.session_units))
        if self._plan.bond_units:
            self._call("deployer", self._escrow.bondSettler(self._plan.bond_units))

    def _register(self, operator: Operator) -> None:
        owner, hot = owner_of(operator.name), key(operator.name)
        self._send(owner, self._stakes.register(address(owner)))
        account = self._plan.account(operator.name)
        assert int(self._stakes.operatorIdOf(address(owner)).call()) == account
        if operator.role == "node":
            digest = self._chain.deployment.stake_domain.node_key_digest(owner.address, hot.address)
            self._send(owner, self._stakes.addNodeKey(address(hot), from_hex(hot.sign(digest))))
        if operator.stake_units:
            self._call("deployer", self._stakes.stake(account, operator.stake_units))

    def _admit(self, names: list[str]) -> None:
        """All verifiers, through the governor's timelock, which passes once."""
        if not names:
            return
        accounts = {name: self._plan.account(name) for name in names}
        calls: list[tuple[Any, ...]] = []
        for name, account in accounts.items():
            admit = self._stakes.admitVerifier(account, address(key(name))).data
            calls.append((self._chain.stakes.address, 0, admit, bytes(32), account.to_bytes(32, "big")))
        governor, delay_s = self._chain.governor.functions, self._plan.constants.timelock_s
        for call in calls:
            self._call("deployer", governor.schedule(*call, delay_s))
        self._pass_time(delay_s + 1)
        for call in calls:
            self._call("deployer", governor.execute(*call))

    def _call(self, name: str, function: ContractCall) -> None:
        self._send(key(name), function)

    def _send(self, signer: Any, function: ContractCall) -> None:
        Sender(self._w3, signer).call(function)
