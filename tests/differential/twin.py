"""Model and contracts side by side: each call is given to both, and everything that can be seen is compared."""

import pickle
from collections import Counter
from dataclasses import replace
from typing import Any

from eth_abi.abi import encode

from contracts.model.base import U256, Refused
from contracts.model.network import Addresses, Network, deploy
from contracts.model.slashing import Answer, Vote
from contracts.onchain.artifacts import artifact
from contracts.protocol.constants import DEVELOPMENT, Constants
from contracts.protocol.hashing import keccak
from contracts.protocol.signing import Signer
from tests.differential import abi
from tests.differential.chains import CHAIN_ID, START_S, Log, Machine

CONSTANTS = DEVELOPMENT.model_copy(update={"penalty_multiple": 3})
BEACONS = 400
_DEPLOYED = ("token", "stakes", "escrow", "court", "contests", "wallet")
_PARAMETERS = {
    "unit": "unit_wei", "feeBps": "fee_bps", "orderTtl": "order_ttl_s", "epochMax": "epoch_max_s",
    "seedBlocks": "seed_blocks", "checkWait": "check_wait_s", "settleWait": "settle_wait_s",
    "chargeWindow": "charge_window_s", "notice": "notice_s", "noticeLife": "notice_life_s", "unbond": "unbond_s",
    "payoutDelay": "payout_delay_s", "minVerifierStake": "min_verifier_stake_units", "caseWindow": "case_window_s",
    "commitWindow": "commit_window_s", "revealWindow": "reveal_window_s", "penaltyMultiple": "penalty_multiple",
    "caseReward": "case_reward_units", "contestWindow": "contest_window_s", "answerWindow": "answer_window_s",
    "resolveWindow": "resolve_window_s", "contestBond": "contest_bond_units",
}  # fmt: skip


Values = tuple[Any, ...]
View = tuple[str, str, Values, Values]
"""Contract, function, its arguments, and what the model says it answers."""


class Disagreement(AssertionError):
    """Model and contract say different things of one call."""


def person(name: str) -> Signer:
    """Somebody with a key."""
    return Signer(keccak(name.encode()))


class Twin:
    """A deployed network on one machine and its model."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.steps = 0
        self.seen: Counter[str] = Counter()
        """How often each function went through, and each error was raised."""
        deployer = person("deployer").address
        at = {name: _create_address(deployer, nonce) for nonce, name in enumerate(_DEPLOYED)}
        self.wallet, self.wallet_owner = at.pop("wallet"), person("carol").address
        roles = {role: person(role).address for role in ("settler", "treasury", "governor", "guardian", "sink")}
        self.at = Addresses(minter=deployer, **at, **roles)
        self.beacons = _beacon_chain()
        self.net: Network = deploy(self.at, CONSTANTS, CHAIN_ID, self.beacons[0], {self.wallet: self.wallet_owner})
        self.now, self.block = START_S, 0
        for name in _DEPLOYED:
            self.now, self.block = self.now + 1, self.block + 1
            self.machine.send(deployer, None, _creation(name, self), self.now, self.block)

    def mark(self) -> None:
        """The state that every sequence starts from."""
        self.machine.mark()
        self._marked = pickle.dumps((self.net, self.now, self.block))

    def rewind(self) -> None:
        """Back to it."""
        self.machine.rewind()
        self.net, self.now, self.block = pickle.loads(self._marked)

    def act(
        self, caller: str, contract: str, name: str, *arguments: Any, seconds: int = 1, blocks: int = 1
    ) -> Any | None:
        """One call, so many seconds and blocks after the last. A contract wallet is called through by its owner.
        Returns what the model returns; None if it refuses. Raises Disagreement."""
        self.steps += 1
        self.now, self.block = self.now + max(seconds, blocks), self.block + blocks
        through = caller == self.wallet
        success, output, logs, result = self._model(caller, contract, name, arguments)
        sender, to, data = caller, getattr(self.at, contract), abi.calldata(contract, name, arguments)
        if through:
            data = abi.calldata("wallet", "execute", (to, data))
            sender, to = self.wallet_owner, self.wallet
            output = encode(["bytes"], [output]) if success else output
        ran = self.machine.send(sender, to, data, self.now, self.block)
        call = f"{self.machine.name}, step {self.steps}: {contract}.{name}{arguments} by {caller} at {self.now}"
        if (ran.success, ran.output) != (success, output):
            raise Disagreement(
                f"{call}\nmodel: {success} {_shown(success, output)}\nchain: {ran.success} "
                f"{_shown(ran.success, ran.output)}"
            )
        if ran.logs != logs:
            raise Disagreement(f"{call}\nmodel logs {self.net.chain.events}: {logs}\nchain logs {ran.logs}")
        self._compare_state(call)
        self.seen[f"{contract}.{name}" if success else abi.error_name(output)] += 1
        return result

    def _model(
        self, caller: str, contract: str, name: str, arguments: tuple[Any, ...]
    ) -> tuple[bool, bytes, tuple[Log, ...], Any]:
        before = pickle.dumps(self.net)
        chain, function = self.net.chain, abi.functions(contract)[name]
        chain.now, chain.block, chain.events = self.now, self.block, []
        chain.origin = self.wallet_owner if caller == self.wallet else caller
        method = getattr(getattr(self.net, contract), function.model_name)
        try:
            result = method(*arguments) if function.is_view else method(caller, *arguments)
        except Refused as refused:
            self.net = pickle.loads(before)
            self.net.chain.now, self.net.chain.block = self.now, self.block
            return False, abi.revert_data(refused), (), None
        values = () if result is None else result if isinstance(result, tuple) else (result,)
        output = abi.answer(contract, name, values) if function.outputs else b""
        return True, output, tuple(map(abi.log_of, chain.events)), result

    # ---- what can be seen of the state

    def _compare_state(self, call: str) -> None:
        expected = [*self._escrow_state(), *self._stakes_state(), *self._disputes_state(), *self._token_state()]
        calls = [_view_call(contract, name, arguments) for contract, name, arguments, _ in expected]
        answers = self.machine.call_all([(getattr(self.at, contract), data) for contract, data in calls])
        for (contract, name, arguments, values), found in zip(expected, answers, strict=True):
            if abi.answer(contract, name, values) != found:
                raise Disagreement(f"{call}\nthen {contract}.{name}{arguments}\nmodel: {values}\nchain: {found.hex()}")

    def _escrow_state(self) -> list[View]:
        e = self.net.escrow
        b = e.bond
        state: list[tuple[str, Values, Values]] = [
            ("totals", (), (e.balances_units, e.credits_units, e.fees_units)),
            ("settlerBond", (), (b.bond, b.bucket_start, b.spent_previous, b.spent_current, b.unbond_at)),
            ("paused", (), (e.paused,)),
            ("settler", (), (e.settler,)),
            ("tip", (), (e.tip,)),
            ("lastEpoch", (), (e.last_epoch,)),
            ("held", (), (e.held(),)),
            ("donated", (), (e.donated(),)),
        ]
        for key, lane in e.lanes.items():
            state.append(("lanes", key, (lane.balance, lane.charged, lane.cap_proven, lane.notice_at, lane.expiry)))
        for epoch_id in range(e.last_epoch + 2):
            p = e.epoch(epoch_id)
            state.append(("epochs", (epoch_id,), (p.root, p.count, p.posted_at, p.posted_block, p.outcomes)))
        for leaf_key, leaf in e.leaves.items():
            state.append(("leaves", leaf_key, (leaf.paid_at, leaf.closed, leaf.refunded)))
        for operator_id, credit in e.credits.items():
            state.append(("operators", (operator_id,), (credit.earned, credit.claimed)))
        for requester, nonce in e.nonces.items():
            state.append(("nonces", (requester,), (nonce,)))
        return [("escrow", *item) for item in state]

    def _stakes_state(self) -> list[View]:
        s = self.net.stakes
        state: list[tuple[str, Values, Values]] = [
            ("totalUnits", (), (s.total,)),
            ("rewardsUnits", (), (s.rewards,)),
            ("sunkUnits", (), (s.sunk,)),
            ("lastId", (), (len(s.accounts),)),
            ("held", (), (s.held(),)),
            ("donated", (), (s.donated(),)),
            ("totalActiveStakeAt", (2**90,), (s.total_active.latest(),)),
        ]
        for account_id, a in s.accounts.items():
            values = (
                a.stake, a.unbonding, a.locked, a.unbond_at, a.has_node_keys, a.is_verifier,
                a.owner, a.payout_at, a.payout, a.pending_payout, a.verifier_key,
            )  # fmt: skip
            state.append(("operators", (account_id,), values))
            state.append(("operatorIdOf", (a.owner,), (account_id,)))
            state.append(("slashableOf", (account_id,), (a.slashable,)))
            state.append(("activeStakeAt", (account_id, 2**90), (s.active_stake_at(account_id, 2**90),)))
        state += [("operatorOf", (node,), (s.operator_of(node),)) for node in s.node_keys]
        state += [("nodeKeys", (node,), (key.operator_id, key.revoked_at)) for node, key in s.node_keys.items()]
        state += [("verifierOf", (key,), (s.verifier_of(key),)) for key in s.account_of_key]
        return [("stakes", *item) for item in state]

    def _disputes_state(self) -> list[View]:
        contests, court = self.net.contests, self.net.court
        state: list[View] = [
            ("contests", "openContests", (), (contests.open_contests,)),
            ("contests", "held", (), (contests.held(),)),
            ("contests", "donated", (), (contests.donated(),)),
        ]
        for leaf, c in contests.contests.items():
            state.append(("contests", "contests", leaf, (c.contester, c.contested_at, int(c.closed_as))))
        for case_id, f in court.cases.items():
            majority = court.majority(f)
            leading = f.answers[majority] if majority else next(iter(f.answers.values()), Answer(False))
            openers = leading.openers if majority else f.unopposed_openers
            file = (
                f.penalty, f.reward, f.snapshot_block, f.commit_ends, openers, f.appealed,
                len(f.answers) > 1, majority is not None, leading.agrees_with_node, f.executed,
            )  # fmt: skip
            state.append(("court", "cases", (case_id,), file))
            for verifier in range(1, len(self.net.stakes.accounts) + 1):
                state.append(("court", "votes", (case_id, verifier), _vote(f.votes.get(verifier))))
            for key, a in f.answers.items():
                state.append(("court", "answers", (case_id, key), (a.stake, a.openers, key == majority)))
        state += [("court", "equivocated", key, (True,)) for key in court.equivocated]
        return state

    def _token_state(self) -> list[View]:
        token = self.net.token
        state: list[View] = [("token", "balanceOf", (who,), (units,)) for who, units in token.balances.items()]
        state += [("token", "allowance", pair, (units,)) for pair, units in token.allowances.items() if units != U256]
        state += [("token", "nonces", (who,), (nonce,)) for who, nonce in token.permit_nonces.items()]
        state += [("token", "authorizationState", key, (True,)) for key in token.used]
        return state


def _vote(vote: Vote | None) -> Values:
    if vote is None:
        return bytes(31), 0
    return (vote.answer_commit[:31], 1) if vote.answer_key is None else (vote.answer_key[:31], 2)


_view_cache: dict[tuple[str, str, tuple[Any, ...]], tuple[str, bytes]] = {}


def _view_call(contract: str, name: str, arguments: tuple[Any, ...]) -> tuple[str, bytes]:
    key = contract, name, arguments
    if key not in _view_cache:
        _view_cache[key] = contract, abi.calldata(contract, name, arguments)
    return _view_cache[key]


def _shown(success: bool, output: bytes) -> str:
    return output.hex() if success else f"{abi.error_name(output)} {output[4:].hex()}"


def _create_address(deployer: str, nonce: int) -> str:
    """keccak256(rlp([deployer, nonce])) of a small nonce."""
    return "0x" + keccak(b"\xd6\x94" + bytes.fromhex(deployer[2:]) + bytes([nonce or 0x80]))[12:].hex()


def _beacon_chain() -> list[bytes]:
    """The tip first, then what each post reveals."""
    values = [keccak(b"beacon")]
    for _ in range(BEACONS):
        values.append(keccak(values[-1]))
    return values[::-1]


def _creation(name: str, twin: Twin) -> bytes:
    """Creation bytecode with its constructor's arguments."""
    made = artifact(abi.CONTRACTS[name])
    code = bytes.fromhex(made.bytecode[2:])
    if name == "token":
        return code
    if name == "wallet":
        return code + encode(["address"], [twin.wallet_owner])
    constants: Constants = CONSTANTS
    values: dict[str, Any] = {ours: getattr(constants, theirs) for ours, theirs in _PARAMETERS.items()}
    at = vars(replace(twin.at))
    values |= at | {"stakeManager": at["stakes"], "tip": twin.beacons[0]}
    (struct,) = next(item for item in made.abi if item["type"] == "constructor")["inputs"]
    types = "(" + ",".join(part["type"] for part in struct["components"]) + ")"
    return code + encode([types], [[values[part["name"]] for part in struct["components"]]])
