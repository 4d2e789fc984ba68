"""The whole audit: gathers the evidence, applies every rule, reports."""

from contracts.onchain.chain import Chain
from contracts.record.log_source import LogSource
from verifier.audit.conservation import check_views, holdings
from verifier.audit.contests import check_contests, made_good
from verifier.audit.court import check_court
from verifier.audit.evidence import AuditEvidence, gather
from verifier.audit.replay import Books, replay
from verifier.audit.report import AuditReport
from verifier.audit.rows import check_rows
from verifier.audit.sample import check_sample, draw_all


def audit(chain: Chain, source: LogSource) -> AuditReport:
    """Recomputes everything up to the head. Raises only ChainError: any other fault is in the report."""
    evidence = gather(chain, source)
    draws = draw_all(evidence)
    check_rows(evidence, draws, made_good(evidence))
    check_sample(evidence, draws)
    books = replay(evidence)
    check_court(evidence, books)
    check_contests(evidence, books)
    check_views(evidence, books)
    sampled = sum(row.sampled for rows in draws.values() for row in rows.values())
    return _report(evidence, books, sampled)


def _report(evidence: AuditEvidence, books: Books, sampled: int) -> AuditReport:
    money = holdings(evidence, books)
    faults = evidence.findings.ordered()
    return AuditReport(
        ok=not faults, head_block=evidence.head.number, epochs=len(evidence.history.epochs),
        rows=sum(posted.count for posted in evidence.history.epochs.values()), rows_sampled=sampled,
        payments_recomputed=len(books.paid), charged_units=books.charged,
        void_rows=sum(len(epoch.void) for epoch in evidence.packed.values()), skipped_rows=len(books.skipped),
        cases=len(evidence.history.cases), contests=len(evidence.history.of("Contested")),
        refunded_units=sum(event.args["units"] for events in books.refunds.values() for event in events),
        held_wei=money.held_wei, donated_wei=money.donated_wei, unexplained_wei=money.unexplained_wei, faults=faults,
    )  # fmt: skip
