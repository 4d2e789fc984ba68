"""The state that the contracts' events add up to: epochs, stakes, keys, cases and contests at any block.

A pure fold without I/O. All parties fold the same events with it, so all come to the same state.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from contracts.onchain.events import Event
from contracts.onchain.structs import named_leaf
from contracts.protocol.rulings import Ruling


@dataclass(frozen=True)
class PostedEpoch:
    """An epoch's post. `log_root` and `root` 32 bytes; `timestamp` of its block, Unix seconds."""

    epoch_id: int
    root: bytes
    count: int
    beacon: bytes
    log_root: bytes
    block_number: int
    timestamp: int
    tx_hash: bytes


@dataclass(frozen=True)
class SettledEpoch:
    """An epoch's settlement by its event. Bitmaps have one bit per row; the calldata has the rows."""

    epoch_id: int
    charged_units: int
    fee_units: int
    void_bits: bytes
    skipped_bits: bytes
    block_number: int
    timestamp: int
    tx_hash: bytes


@dataclass
class CaseFile:
    """A case and its events in order. `penalty_units`: what the operator loses if it is guilty."""

    case_id: bytes
    epoch_id: int
    index: int
    operator_id: int
    commitment_digest: bytes
    penalty_units: int
    opened: Event
    said: list[Event] = field(default_factory=list)

    @property
    def leaf(self) -> tuple[Any, ...]:
        """The case's leaf as the court takes it (LeafProof without siblings)."""
        return named_leaf(self.opened.args)

    @property
    def snapshot_block(self) -> int:
        """Verifiers' stakes count as they were at the end of this block."""
        return self.opened.block_number

    @property
    def voters(self) -> list[int]:
        """The accounts of the verifiers that committed an answer, in order."""
        return [event.args["verifierId"] for event in self.said if event.name == "VerdictCommitted"]

    @property
    def unsettled(self) -> list[int]:
        """The voters whose vote is not settled."""
        settled = {event.args["verifierId"] for event in self.said if event.name == "VoteSettled"}
        return [account for account in self.voters if account not in settled]

    @property
    def executed(self) -> Event | None:
        """The event that closed it, or None."""
        return next((event for event in self.said if event.name == "CaseExecuted"), None)

    @property
    def ruling(self) -> Ruling:
        """The executed ruling; OPEN until then."""
        return Ruling.OPEN if self.executed is None else Ruling(self.executed.args["ruling"])

    @property
    def commit_ends(self) -> int:
        """When the commit window ends, Unix seconds. An appeal restarts it."""
        told = (self.opened, *self.said)
        return max(int(event.args["commitEnds"]) for event in told if "commitEnds" in event.args)


CONTEST_ENDS = ("Answered", "ContestResolved", "ContestLapsed")
DATED = ("EpochPosted", "EpochSettled")
"""Events whose block's timestamp the history keeps."""


@dataclass
class ContestFile:
    """The last contest of a leaf; earlier ones lapsed. `answer_ends`: Unix seconds. `bond_units`: the contester's bond.

    `closed`: the event that ended it (Answered, ContestResolved or ContestLapsed); None until then.
    """

    epoch_id: int
    index: int
    contester: str
    answer_ends: int
    bond_units: int
    opened: Event
    closed: Event | None = None


@dataclass
class History:
    """The fold. Give `add` the events in order, with the timestamps of their blocks.

    A history that begins after the deployment knows stakes and cases only from its first event on.
    """

    epochs: dict[int, PostedEpoch] = field(default_factory=dict)
    settled: dict[int, SettledEpoch] = field(default_factory=dict)
    cases: dict[bytes, CaseFile] = field(default_factory=dict)
    contests: dict[tuple[int, int], ContestFile] = field(default_factory=dict)
    owners: dict[int, str] = field(default_factory=dict)
    node_keys: dict[str, int] = field(default_factory=dict)
    """Node key -> its account, also after it was revoked."""
    verifier_keys: dict[str, int] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    _by_name: dict[str, list[Event]] = field(default_factory=dict)
    _timestamps: dict[int, int] = field(default_factory=dict)
    _stakes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    _admitted: dict[int, list[tuple[int, bool]]] = field(default_factory=dict)

    def add(self, events: Iterable[Event], timestamps: dict[int, int]) -> None:
        """Folds more events. `timestamps`: block number -> Unix seconds, for blocks with events in DATED."""
        self._timestamps |= timestamps
        for event in events:
            self.events.append(event)
            self._by_name.setdefault(event.name, []).append(event)
            fold = _FOLDS.get(event.name)
            if fold is not None:
                fold(self, event, timestamps.get(event.block_number, 0))

    def until(self, block_number: int) -> "History":
        """The history as it was at the end of a block."""
        earlier = History()
        kept = [event for event in self.events if event.block_number <= block_number]
        earlier.add(kept, {number: at for number, at in self._timestamps.items() if number <= block_number})
        return earlier

    def stake_at(self, operator_id: int, block_number: int) -> int:
        """An account's stake at the end of a block, in units, without unbonding stake."""
        return int(_at(self._stakes.get(operator_id, []), block_number, 0))

    def active_verifiers_at(self, block_number: int, minimum_units: int) -> dict[int, int]:
        """Active verifier accounts and their stake at the end of a block."""
        stakes = {
            account: self.stake_at(account, block_number)
            for account, spans in self._admitted.items()
            if _at(spans, block_number, False)
        }
        return {account: stake for account, stake in sorted(stakes.items()) if stake >= minimum_units}

    def verifiers_for(self, operator_id: int, block_number: int, minimum_units: int) -> dict[int, int]:
        """Active verifiers that the operator's owner does not own."""
        owner = self.owners.get(operator_id)
        active = self.active_verifiers_at(block_number, minimum_units)
        return {account: stake for account, stake in active.items() if self.owners.get(account) != owner}

    def is_suspected_at(self, operator_id: int, block_number: int) -> bool:
        """Whether at the end of a block the operator has an open case or was ruled guilty in one."""
        return any(
            case.operator_id == operator_id
            and case.opened.block_number <= block_number
            and not _cleared(case, block_number)
            for case in self.cases.values()
        )

    def of(self, name: str) -> list[Event]:
        """All events of one name, in order."""
        return list(self._by_name.get(name, ()))

    def case_on(self, epoch_id: int, index: int) -> CaseFile | None:
        """The case on a leaf, if there is one."""
        return next((c for c in self.cases.values() if (c.epoch_id, c.index) == (epoch_id, index)), None)


def _cleared(case: CaseFile, block_number: int) -> bool:
    end = case.executed
    return end is not None and end.block_number <= block_number and case.ruling is not Ruling.NODE_GUILTY


def _at(points: list[tuple[int, Any]], block_number: int, default: Any) -> Any:
    value = default
    for block, new in points:
        if block > block_number:
            break
        value = new
    return value


def posted_epoch(event: Event, timestamp: int) -> PostedEpoch:
    """The post in an EpochPosted event. `timestamp`: of its block, Unix seconds."""
    a, block = event.args, event.block_number
    return PostedEpoch(a["id"], a["root"], a["count"], a["beacon"], a["logRoot"], block, timestamp, event.tx_hash)


def _registered(history: History, event: Event, _: int) -> None:
    history.owners[event.args["id"]] = event.args["owner"]


def _node_key(history: History, event: Event, _: int) -> None:
    history.node_keys[event.args["node"]] = event.args["id"]


def _admitted(history: History, event: Event, _: int) -> None:
    history.verifier_keys[event.args["key"]] = event.args["id"]
    history._admitted.setdefault(event.args["id"], []).append((event.block_number, True))


def _retired(history: History, event: Event, _: int) -> None:
    history._admitted.setdefault(event.args["id"], []).append((event.block_number, False))


def _stake(history: History, event: Event, _: int) -> None:
    history._stakes.setdefault(event.args["id"], []).append((event.block_number, event.args["stakeUnits"]))


def _posted(history: History, event: Event, timestamp: int) -> None:
    history.epochs[event.args["id"]] = posted_epoch(event, timestamp)


def _settled(history: History, event: Event, timestamp: int) -> None:
    a = event.args
    bitmaps = a["voidBits"], a["skippedBits"]
    history.settled[a["id"]] = SettledEpoch(
        a["id"], a["chargedUnits"], a["feeUnits"], *bitmaps, event.block_number, timestamp, event.tx_hash
    )


def _case_opened(history: History, event: Event, _: int) -> None:
    a = event.args
    history.cases[a["caseId"]] = CaseFile(
        a["caseId"], a["epochId"], a["index"], a["operatorId"], a["commitmentDigest"], a["penaltyUnits"], event
    )


def _case_said(history: History, event: Event, _: int) -> None:
    case = history.cases.get(event.args["caseId"])
    if case is not None:  # a history that begins late misses some CaseOpened
        case.said.append(event)


def _contested(history: History, event: Event, _: int) -> None:
    a = event.args
    history.contests[a["epochId"], a["index"]] = ContestFile(
        a["epochId"], a["index"], a["contester"], a["answerEnds"], a["bondUnits"], event
    )


def _contest_ended(history: History, event: Event, _: int) -> None:
    contest = history.contests.get((event.args["epochId"], event.args["index"]))
    if contest is not None:
        contest.closed = event


_FOLDS = {
    "Registered": _registered,
    "NodeKeyAdded": _node_key,
    "VerifierAdmitted": _admitted,
    "VerifierRetired": _retired,
    "Staked": _stake,
    "Unbonding": _stake,
    "Slashed": _stake,
    "EpochPosted": _posted,
    "EpochSettled": _settled,
    "CaseOpened": _case_opened,
    "Appealed": _case_said,
    "VerdictCommitted": _case_said,
    "VerdictRevealed": _case_said,
    "CaseExecuted": _case_said,
    "VoteSettled": _case_said,
    "Contested": _contested,
    **dict.fromkeys(CONTEST_ENDS, _contest_ended),
}


def read_history(chain: Any, last_block: int, *, first_block: int | None = None) -> History:
    """Reads a deployment's history up to a block, by default from the deployment's first block."""
    history = History()
    events = chain.events(chain.deployment.first_block if first_block is None else first_block, last_block)
    blocks = {event.block_number for event in events if event.name in DATED}
    history.add(events, {number: chain.block(number).timestamp for number in sorted(blocks)})
    return history
