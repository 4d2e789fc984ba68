"""Rules every case again from its opened answers and its stake snapshot; checks VOID rows, refunds and slashes."""

from dataclasses import dataclass, field
from typing import Any

from contracts.onchain.chain import as_dict
from contracts.onchain.events import Event
from contracts.protocol.hashing import to_hex
from contracts.protocol.packing import from_bits, outcomes_hash
from contracts.protocol.records import Commitment, Opening
from contracts.protocol.rulings import OpenedAnswer, Ruling
from contracts.protocol.rulings import rule as rule_opened
from contracts.protocol.signing import expand, recover
from contracts.protocol.typed_data import agrees, answer_commit, answer_key
from contracts.record.history import CaseFile
from verifier.audit.evidence import AuditEvidence
from verifier.audit.replay import Books

_WORTH = {"Staked": 1, "Rewarded": 1, "StakeWithdrawn": -1, "Slashed": -1}
"""Events that change an account's stake, also while it unbonds."""


@dataclass
class _Answer:
    agrees: bool
    stake: int = 0
    openers: list[int] = field(default_factory=list)


def check_court(evidence: AuditEvidence, books: Books) -> None:
    """Notes wrong rulings, VOID rows without a guilty ruling, and refunds or slashes of wrong amounts."""
    rulings: dict[tuple[int, int], tuple[Ruling, int]] = {}
    for case in evidence.history.cases.values():
        answers = _opened(evidence, case)
        ruling, upheld = rule(evidence, case, answers)
        rulings[case.epoch_id, case.index] = ruling, _ruled_at(evidence, case)
        if case.executed is not None:
            reward = _check_execution(evidence, books, case, ruling, len(answers[upheld].openers) if upheld else 0)
            votes = {id_: key == upheld for key, answer in answers.items() for id_ in answer.openers}
            _check_votes(evidence, case, ruling, votes, reward)
    for epoch_id in evidence.history.settled:
        _check_voids(evidence, epoch_id, rulings)
    for event in evidence.history.of("Equivocated"):
        _check_equivocation(evidence, event)
    _check_slashes(evidence)


def rule(evidence: AuditEvidence, case: CaseFile, answers: dict[bytes, _Answer]) -> tuple[Ruling, bytes]:
    """The ruling at the head, and the key of the answer that it upholds; empty if there is none."""
    if evidence.head.timestamp < _ruled_at(evidence, case):
        return Ruling.OPEN, b""
    active = evidence.history.active_verifiers_at(case.snapshot_block, evidence.constants.min_verifier_stake_units)
    appealed = any(event.name == "Appealed" for event in case.said)
    opened = [OpenedAnswer(answer.stake, len(answer.openers), answer.agrees) for answer in answers.values()]
    ruling, upheld = rule_opened(opened, sum(active.values()), appealed=appealed)
    return ruling, b"" if upheld is None else list(answers)[upheld]


def _opened(evidence: AuditEvidence, case: CaseFile) -> dict[bytes, _Answer]:
    """The opened answers with their stake; notes openings that were not committed or that the chain misjudged."""
    log = evidence.book.epochs[case.epoch_id]
    commitment = log.commitments.get(case.commitment_digest)
    committed = {e.args["verifierId"]: e.args["answerCommit"] for e in case.said if e.name == "VerdictCommitted"}
    answers: dict[bytes, _Answer] = {}
    for event in case.said:
        if event.name != "VerdictRevealed":
            continue
        a, account = event.args, event.args["verifierId"]
        opening = Opening(trace_hash=to_hex(a["traceHash"]), output_root=to_hex(a["outputRoot"]), units=a["units"])
        expect, place = evidence.findings.expect, {"epoch": case.epoch_id, "row": case.index}
        keys = [key for key, owner in evidence.history.verifier_keys.items() if owner == account]
        hidden = [answer_commit(opening, case.commitment_digest, key) for key in keys]
        expect(f"verifier {account} opened what it had committed", True, committed.get(account) in hidden, **place)
        expect(f"the key of verifier {account}'s answer", answer_key(opening), a["answerKey"], **place)
        same = agrees(opening, commitment.commitment) if commitment is not None else a["agreesWithNode"]
        expect(f"whether verifier {account}'s answer is the node's", same, a["agreesWithNode"], **place)
        answer = answers.setdefault(answer_key(opening), _Answer(same))
        answer.stake += evidence.history.stake_at(account, case.snapshot_block)
        answer.openers.append(account)
    return answers


def _ruled_at(evidence: AuditEvidence, case: CaseFile) -> int:
    return case.commit_ends + evidence.constants.reveal_window_s


def _check_execution(evidence: AuditEvidence, books: Books, case: CaseFile, ruling: Ruling, openers: int) -> int:
    """Checks penalty, refund and reward. Returns the reward of each opener of the upheld answer, units."""
    executed = case.executed
    assert executed is not None
    expect, place = evidence.findings.expect, {"epoch": case.epoch_id, "row": case.index}
    expect("the ruling follows from the opened answers", int(ruling), executed.args["ruling"], **place)
    leaf = evidence.leaf(case.epoch_id, case.index)
    guilty = ruling is Ruling.NODE_GUILTY
    penalty = min(case.penalty_units, _stake_at(evidence, case, executed)) if guilty else 0
    owed = leaf.amount_units - _refunded(books, case, executed) if leaf is not None and _paid(books, case) else 0
    refund = min(owed, penalty)
    expect("the refund is what the lane is owed, up to the penalty", refund, executed.args["refundUnits"], **place)
    expect("the slashed stake is the penalty, up to all of it", penalty, _slashed(evidence, case), **place)
    expect("the case says what it slashed", penalty, executed.args["slashedUnits"], **place)
    share = (penalty - refund) // openers if guilty and openers else 0
    reward = min(evidence.constants.case_reward_units, share)
    expect("each verifier's reward", reward, executed.args["rewardUnits"], **place)
    return reward


def _check_votes(evidence: AuditEvidence, case: CaseFile, ruling: Ruling, upheld: dict[int, bool], reward: int) -> None:
    """Openers of the upheld answer are rewarded; all others lose their exposure. If no answer is upheld, voters that
    opened none lose CASE_REWARD. `upheld`: by opener."""
    constants, expect = evidence.constants, evidence.findings.expect
    exposure = min(max(case.penalty_units, constants.case_reward_units), constants.min_verifier_stake_units)
    for event in case.said:
        if event.name != "VoteSettled":
            continue
        account = event.args["verifierId"]
        opened, right = account in upheld, upheld.get(account, False)
        silent = 0 if opened else constants.case_reward_units
        wrong = exposure if ruling is not Ruling.DISMISSED and not right else silent
        due = (wrong, reward if right else 0)
        told = (event.args["penaltyUnits"], event.args["rewardUnits"])
        expect(f"penalty and reward of verifier {account}", due, told, epoch=case.epoch_id, row=case.index)


def _slash_of(evidence: AuditEvidence, case: CaseFile) -> Event | None:
    """The operator's slash by its case: the last one before the case's CaseExecuted."""
    executed = case.executed
    assert executed is not None
    slashes = [e for e in evidence.history.of("Slashed") if e.tx_hash == executed.tx_hash]
    own = [e for e in slashes if e.args["id"] == case.operator_id and e.position < executed.position]
    return own[-1] if own and executed.args["ruling"] == Ruling.NODE_GUILTY else None


def _slashed(evidence: AuditEvidence, case: CaseFile) -> int:
    slash = _slash_of(evidence, case)
    return 0 if slash is None else int(slash.args["units"])


def _stake_at(evidence: AuditEvidence, case: CaseFile, executed: Event) -> int:
    """The operator's stake, also while unbonding, when its case was executed, units."""
    until = (_slash_of(evidence, case) or executed).position
    events = [e for e in evidence.history.events if e.name in _WORTH and e.position < until]
    return sum(_WORTH[e.name] * int(e.args["units"]) for e in events if e.args["id"] == case.operator_id)


def _paid(books: Books, case: CaseFile) -> bool:
    """Whether the lane had paid the leaf when the case was executed."""
    payment, executed = books.paid.get((case.epoch_id, case.index)), case.executed
    return payment is not None and executed is not None and payment.position < executed.position


def _refunded(books: Books, case: CaseFile, executed: Event) -> int:
    """Units of the charge that a contest refunded before the case was executed."""
    refunds = books.refunds[case.epoch_id, case.index]
    earlier = [event for event in refunds if event.name == "RefundedFromBond" and event.position < executed.position]
    return sum(int(event.args["units"]) for event in earlier)


def _check_equivocation(evidence: AuditEvidence, event: Event) -> None:
    """Two commitments for one order, both signed by the node, cost at most k * maxPrice. Read from the calldata."""
    chain, a, expect = evidence.chain, event.args, evidence.findings.expect
    call = chain.w3.eth.get_transaction(event.tx_hash)
    if call["to"] != chain.court.address:
        return
    _, given = chain.court.decode_function_input(call["input"])
    limit = evidence.constants.penalty_multiple * as_dict(as_dict(given["order"])["terms"])["maxPrice"]
    expect("an equivocation costs at most k * maxPrice", True, a["slashedUnits"] <= limit)
    _check_ordered(evidence, event, given)
    signed = []
    for which in ("first", "second"):
        commitment = _commitment(as_dict(given[which]))
        digest = evidence.domain.commitment_digest(commitment)
        signer = recover(digest, to_hex(bytes(given[f"{which}Signature"])))
        signed.append((digest, signer == commitment.node == a["node"], commitment.order_id))
    told = [(a[f"{which}Digest"], True, to_hex(a["orderId"])) for which in ("first", "second")]
    expect("the node signed two commitments for one order", told, signed)


def _check_ordered(evidence: AuditEvidence, event: Event, given: dict[str, Any]) -> None:
    """The order is signed by the requester, or by the key of a lane that the requester had opened."""
    requester = as_dict(given["order"])["requester"].lower()
    signer = recover(event.args["orderId"], expand(bytes(given["orderR"]), bytes(given["orderVs"])))
    lanes = [e for e in evidence.history.of("LaneOpened") if e.position < event.position]
    opened = any((e.args["requester"], e.args["signer"]) == (requester, signer) for e in lanes)
    rule_ = "the order answered twice is signed for its requester"
    evidence.findings.expect(rule_, True, signer == requester or opened)


def _commitment(given: dict[str, Any]) -> Commitment:
    return Commitment(
        order_id=to_hex(given["orderId"]),
        node=given["node"].lower(),
        output_root=to_hex(given["outputRoot"]),
        trace_commit=to_hex(given["traceCommit"]),
        units=given["units"],
    )


def _check_slashes(evidence: AuditEvidence) -> None:
    """Every slash has a cause: an executed case, a vote in it or an equivocation."""
    names = ("CaseExecuted", "VoteSettled", "Equivocated")
    causes = {e.tx_hash for name in names for e in evidence.history.of(name)}
    for event in evidence.history.of("Slashed"):
        rule = f"a cause for the slash of account {event.args['id']}"
        evidence.findings.expect(rule, True, event.tx_hash in causes)


def _check_voids(evidence: AuditEvidence, epoch_id: int, rulings: dict[tuple[int, int], tuple[Ruling, int]]) -> None:
    settled, count = evidence.history.settled[epoch_id], evidence.history.epochs[epoch_id].count
    void = from_bits(settled.void_bits, count)
    for index in range(count):
        ruling, ruled_at = rulings.get((epoch_id, index), (Ruling.OPEN, 0))
        guilty = ruling is Ruling.NODE_GUILTY and ruled_at <= settled.timestamp
        found = index in void
        rule_ = "a row is VOID iff a case on it was ruled guilty before settlement"
        evidence.findings.expect(rule_, guilty, found, epoch=epoch_id, row=index)
    on_chain = evidence.chain.escrow.functions.epochs(epoch_id).call(block_identifier=evidence.head.number)
    kept = as_dict(on_chain)["outcomes"]
    hashed = outcomes_hash(settled.void_bits, settled.skipped_bits)
    evidence.findings.expect("the outcomes hash to what the chain keeps", hashed, kept, epoch=epoch_id)
