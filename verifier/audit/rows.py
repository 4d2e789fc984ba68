"""Checks that every row is explained: a job's by its commitment, order and lease, a check's by its verdict."""

from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.log import RowEntry, VerdictEntry
from contracts.protocol.native.observation import observed_opening
from contracts.protocol.records import COMPARATOR_NATIVE, Commitment, Opening
from contracts.protocol.typed_data import agrees, answer_commit
from contracts.record.errors import WrongFact
from contracts.record.row_checks import check_job, check_leases, require, require_signer
from contracts.record.sample import DrawnRow
from verifier.audit.evidence import AuditEvidence

Draws = dict[int, dict[bytes, DrawnRow]]
"""Epoch -> commitment digest -> how the row was drawn; only epochs whose seed is revealed."""


def check_rows(evidence: AuditEvidence, draws: Draws, made_good: set[tuple[int, int]]) -> None:
    """Notes every unexplained row, and every order or check that is paid more often than allowed.

    `made_good`: (epoch, row) of charges that were refunded from the settler's bond and need no explanation.
    """
    paid_orders: dict[bytes, list[str]] = {}
    paid_checks: set[str] = set()
    in_rows = {row.digest for rows in evidence.rows.values() for row in rows.values()}
    for epoch_id, rows in sorted(evidence.rows.items()):
        for index, row in sorted(rows.items()):
            if (epoch_id, index) in made_good:
                continue
            with evidence.findings.watching(epoch=epoch_id, row=index):
                if row.requester == evidence.chain.deployment.treasury:
                    _check_verdict_row(evidence, draws, epoch_id, row, paid_checks)
                else:
                    _check_job_row(evidence, epoch_id, row, paid_orders)
        _check_other_verdicts(evidence, epoch_id, in_rows)


def _check_job_row(evidence: AuditEvidence, epoch_id: int, row: RowEntry, paid: dict[bytes, list[str]]) -> None:
    job = evidence.book.require_job(epoch_id, row)
    check_job(evidence.domain, job, evidence.history.node_keys)
    order_id = from_hex(job.commitment.commitment.order_id)
    node = job.commitment.commitment.node
    leases = evidence.book.epochs[epoch_id].leases.get(order_id, [])
    copies = job.order.order.terms.copies
    check_leases(evidence.domain, leases, node, _settlers_until(evidence, epoch_id), copies=copies)
    nodes = paid.setdefault(order_id, [])
    require("no node is paid twice for one order", expected=False, found=node in nodes)
    nodes.append(node)
    require(f"an order of {copies} copies has at most as many rows", expected=True, found=len(nodes) <= copies)


def _settlers_until(evidence: AuditEvidence, epoch_id: int) -> set[str]:
    """The settlers up to an epoch's post; each one's leases count in it."""
    changes = evidence.history.of("SettlerChanged")
    first = changes[0].args["previous"] if changes else evidence.chain.deployment.settler
    posted = evidence.history.epochs[epoch_id].block_number
    return {first, *(change.args["settler"] for change in changes if change.block_number <= posted)}


def _check_verdict_row(evidence: AuditEvidence, draws: Draws, epoch_id: int, row: RowEntry, paid: set[str]) -> None:
    entry = evidence.book.verdict(from_hex(row.digest), until=epoch_id)
    if entry is None:
        raise WrongFact("the log holds the verdict of a paid check", expected=row.digest, found="none with this digest")
    verdict = entry.verdict
    require("a check is paid once", expected=False, found=verdict.commitment_digest in paid)
    paid.add(verdict.commitment_digest)
    account = evidence.history.verifier_keys.get(verdict.verifier)
    require("the check is paid to its verifier's account", expected=account, found=row.operator_id)
    drawn = draws.get(entry.epoch_id, {}).get(from_hex(verdict.commitment_digest))
    require("the checked row was sampled", expected=True, found=drawn is not None and drawn.sampled)
    assert drawn is not None
    require("the check has its workload's price", expected=drawn.row.manifest.check_price_units, found=row.amount_units)
    require("the verifier was drawn for the row", expected=True, found=account in drawn.duty)
    _check_verdict(evidence, entry)


def _check_other_verdicts(evidence: AuditEvidence, epoch_id: int, in_rows: set[str]) -> None:
    for digest, entry in evidence.book.epochs[epoch_id].verdicts.items():
        if to_hex(digest) not in in_rows:
            with evidence.findings.watching(epoch=epoch_id):
                _check_verdict(evidence, entry)


def _check_verdict(evidence: AuditEvidence, entry: VerdictEntry) -> None:
    """Checks a verdict: its signature and its row's epoch; and that its opening hashes to it and matches the node's."""
    verdict = entry.verdict
    digest = from_hex(verdict.commitment_digest)
    signed = evidence.domain.verdict_digest(verdict)
    require_signer("the verdict is signed by its verifier", signed, entry.signature, verdict.verifier)
    log = evidence.book.epochs.get(entry.epoch_id)
    commitment = log.commitments.get(digest) if log is not None else None
    require(f"the verdict is on a commitment of epoch {entry.epoch_id}", expected=True, found=commitment is not None)
    assert commitment is not None
    if entry.opening is None:
        return
    hidden = to_hex(answer_commit(entry.opening, digest, verdict.verifier))
    require("the opening is what the verdict hides", expected=hidden, found=verdict.answer_commit)
    if not agrees(entry.opening, commitment.commitment):
        _check_observation(evidence, entry.epoch_id, signed, entry.opening, commitment.commitment)


def _check_observation(
    evidence: AuditEvidence, epoch_id: int, verdict: bytes, opening: Opening, commitment: Commitment
) -> None:
    """An opening that differs from the node's answer is shown only for native work, with its observation."""
    order = evidence.book.epochs[epoch_id].orders.get(from_hex(commitment.order_id))
    native = order is not None and order.order.terms.comparator == COMPARATOR_NATIVE
    named = evidence.book.observation_of(verdict)
    require("an opening is shown for an answer that matches", expected=True, found=native and named is not None)
    assert named is not None
    observation = evidence.source.blob(named[1])
    expected = observed_opening(observation, commitment)
    require("the opening follows from the observation", expected=expected, found=opening)
