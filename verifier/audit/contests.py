"""Checks every contest: it was in time, about a charge, and ended by the rules (SPEC, Contests).

A row whose charge was refunded from the settler's bond is not a fault; a refund that no contest explains is one.
"""

from contracts.onchain.events import Event
from contracts.protocol.hashing import from_hex, to_hex
from contracts.record.history import CONTEST_ENDS
from verifier.audit.evidence import AuditEvidence
from verifier.audit.replay import Books, Place

_CAUSES = ("ContestResolved", "DuplicateRefunded")


def made_good(evidence: AuditEvidence) -> set[Place]:
    """The rows whose charge was refunded from the settler's bond."""
    return {_place(event) for event in evidence.history.of("RefundedFromBond")}


def check_contests(evidence: AuditEvidence, books: Books) -> None:
    """Notes contests that were late or without a charge, wrong answers and endings, and unexplained refunds."""
    opened: dict[Place, Event] = {}
    for event in evidence.history.events:
        if event.name == "Contested":
            rule = "a leaf is contested again only when its last contest has lapsed"
            place = _place(event)
            evidence.findings.expect(rule, None, opened.get(place), epoch=place[0], row=place[1])
            _check_opening(evidence, books, place, event)
            opened[place] = event
        elif event.name in CONTEST_ENDS:
            _check_ending(evidence, opened.get(_place(event)), event)
            if event.name == "ContestLapsed":
                opened.pop(_place(event), None)
    for event in evidence.history.of("DuplicateRefunded"):
        _check_duplicate(evidence, event)
    causes = {(event.tx_hash, _place(event)) for name in _CAUSES for event in evidence.history.of(name)}
    for event in evidence.history.of("RefundedFromBond"):
        rule = "a contest explains the refund from the settler's bond"
        found = (event.tx_hash, _place(event)) in causes
        evidence.findings.expect(rule, True, found, epoch=_place(event)[0], row=_place(event)[1])


def _check_opening(evidence: AuditEvidence, books: Books, place: Place, event: Event) -> None:
    expect, where = evidence.findings.expect, {"epoch": place[0], "row": place[1]}
    payment = books.paid.get(place)
    charged = payment is not None and payment.position < event.position
    if not expect("the contested row was charged", True, charged, **where):
        return
    assert payment is not None
    now, constants = _time(evidence, event), evidence.constants
    in_time = now < payment.charged_at + constants.contest_window_s
    expect("the contest was opened in its window", True, in_time, **where)
    expect("the time to answer", now + constants.answer_window_s, event.args["answerEnds"], **where)
    expect("the contester's bond", constants.contest_bond_units, event.args["bondUnits"], **where)


def _check_ending(evidence: AuditEvidence, opened: Event | None, event: Event) -> None:
    """An answer, a refund and a lapse each come in their own window, in this order."""
    expect, place = evidence.findings.expect, _place(event)
    where = {"epoch": place[0], "row": place[1]}
    if not expect(f"{event.name} ends a contest that was opened", True, opened is not None, **where):
        return
    assert opened is not None
    now, answer_ends = _time(evidence, event), opened.args["answerEnds"]
    overdue = answer_ends + evidence.constants.resolve_window_s
    starts, ends = {
        "Answered": (0, answer_ends),
        "ContestResolved": (answer_ends, overdue),
        "ContestLapsed": (overdue, now + 1),
    }[event.name]
    expect(f"{event.name} comes in its window", True, starts <= now < ends, **where)
    if event.name == "Answered":
        _check_answer(evidence, place, event)


def _check_answer(evidence: AuditEvidence, place: Place, event: Event) -> None:
    """The contract checked the answer; the output that it showed must also be the log's."""
    leaf, log = evidence.leaf(*place), evidence.book.epochs.get(place[0])
    entry = log.commitments.get(leaf.digest) if log is not None and leaf is not None else None
    if entry is not None:
        logged, shown = entry.commitment.output_root, to_hex(event.args["outputRoot"])
        evidence.findings.expect("the answered output is the log's", logged, shown, epoch=place[0], row=place[1])


def _check_duplicate(evidence: AuditEvidence, event: Event) -> None:
    """The order has more rows than copies."""
    order_id, place = to_hex(event.args["orderId"]), _place(event)
    logs = evidence.book.epochs.values()
    digests = {
        digest for log in logs for digest, entry in log.commitments.items() if entry.commitment.order_id == order_id
    }
    rows = sum(from_hex(row.digest) in digests for rows in evidence.rows.values() for row in rows.values())
    order = next((log.orders[from_hex(order_id)] for log in logs if from_hex(order_id) in log.orders), None)
    copies = order.order.terms.copies if order is not None else 1
    rule = "the order of the refunded duplicate has more rows than copies"
    evidence.findings.expect(rule, True, rows > copies, epoch=place[0], row=place[1])


def _place(event: Event) -> Place:
    return event.args["epochId"], event.args["index"]


def _time(evidence: AuditEvidence, event: Event) -> int:
    return evidence.chain.block(event.block_number).timestamp
