"""The log book: found by digest, first publication counts, any order of reading, bounded memory."""

import pytest

from contracts.protocol.hashing import to_hex
from contracts.protocol.log import ObservationEntry, TraceEntry, VerdictEntry, WorkloadEntry
from contracts.protocol.manifest import Manifest
from contracts.protocol.records import Verdict
from contracts.record.errors import LogUnavailable
from contracts.record.log_book import LogBook, PaidJob
from tests.unit.record.records import DOMAIN, MANIFEST, job

NATIVE = Manifest.model_validate(MANIFEST.model_dump(mode="json") | {"comparator": "native", "numeric_class": None})
FIRST, SECOND = "0x" + "a1" * 32, "0x" + "b2" * 32


def native(index: int = 0) -> PaidJob:
    """A job on native work; its signatures are of other terms, which the book does not look at."""
    whole = job(index)
    terms = whole.order.order.terms.model_copy(update={"workload_id": NATIVE.workload_id()})
    order = whole.order.order.model_copy(update={"terms": terms})
    entry = whole.order.model_copy(update={"order": order})
    commitment = whole.commitment.commitment.model_copy(update={"order_id": to_hex(DOMAIN.order_id(order))})
    row = whole.row.model_copy(update={"digest": to_hex(DOMAIN.commitment_digest(commitment))})
    committed = whole.commitment.model_copy(update={"commitment": commitment})
    return PaidJob(1, row, entry, committed, NATIVE)


JOB = native()
POSTED = [WorkloadEntry(manifest=NATIVE.model_dump(mode="json")), JOB.order, JOB.commitment, JOB.row]
VERDICT = Verdict(commitment_digest=JOB.row.digest, verifier="0x" + "33" * 20, answer_commit="0x" + "44" * 32)
SAID = [
    VerdictEntry(epoch_id=1, verdict=VERDICT, signature="0x" + "55" * 65, opening=None),
    ObservationEntry(verdict_digest=to_hex(DOMAIN.verdict_digest(VERDICT)), observation=FIRST),
]


def shown(name: str) -> TraceEntry:
    return TraceEntry(commitment_digest=JOB.row.digest, trace=name)


def test_whatIsPublishedTwice_countsOnce_whereItStandsFirst() -> None:
    """Protects nodes: a settler that publishes a verdict or a trace again weighs no check twice and changes none."""
    book = LogBook(DOMAIN)
    for epoch_id, entries in enumerate([POSTED, SAID, [*SAID, shown(FIRST)], [*POSTED[1:], *SAID, shown(SECOND)]], 1):
        book.add(epoch_id, entries)
    (only,) = book.shown_in(3)
    assert (only.trace, only.observations) == (FIRST, ((VERDICT.verifier, FIRST),))
    assert [book.shown_in(n) for n in (1, 2, 4)] == [[], [], []]
    assert len(book.verdicts_on(JOB.digest)) == 1
    assert (book.trace_epoch(JOB.digest), book.job_of(JOB.digest)) == (3, book.job_at(1, 0))


def test_aGap_isNoAnswer_untilItIsRead() -> None:
    """Protects the sample: while an earlier epoch is missing nobody's standing is told; once it is read, it is the one
    that everybody has."""
    book = LogBook(DOMAIN)
    book.add(1, POSTED)
    book.add(3, [shown(FIRST)])
    with pytest.raises(LogUnavailable, match="epoch 2"):
        book.shown_in(3)
    book.add(2, SAID)
    assert [len(each.observations) for each in book.shown_in(3)] == [1]


def test_whatIsForgotten_isGone_butWhatLaterEpochsReferTo() -> None:
    """Protects a verifier that runs for years: memory does not grow with epochs that nothing can come of any more."""
    book = LogBook(DOMAIN)
    for epoch_id in range(1, 30):
        book.add(epoch_id, [*POSTED[:1], *(part for part in (job(epoch_id).order, job(epoch_id).commitment))])
    book.add(30, [*POSTED, *SAID])
    book.forget(30)
    assert (book.epochs, 30 in book, 31 in book) == ({}, True, False)
    assert book.job_of(JOB.digest) is None
    book.add(31, [shown(SECOND)])
    assert [each.trace for each in book.shown_in(31)] == [SECOND], "its trace was still to come"
    book.forget(31)
    book.add(32, POSTED)
    book.add(33, [shown(FIRST)])
    assert book.shown_in(33) == [], "no second charge makes it count again"


def test_lateRecords_areForgottenToo() -> None:
    """Protects the same memory from a settler that publishes verdicts and traces long after their jobs."""
    book = LogBook(DOMAIN)
    book.add(1, [*POSTED, *SAID])
    book.add(2, [shown(FIRST)])
    book.forget(2)
    for epoch_id in range(3, 30):
        book.add(epoch_id, [*SAID, shown(SECOND)])
        book.forget(epoch_id)
    assert (book.verdicts_on(JOB.digest), book.trace_of(JOB.digest)) == ([], None)
