"""Checks that every sampled row was checked or went to the court."""

from contracts.protocol.hashing import keccak, to_hex
from contracts.record.history import PostedEpoch
from contracts.record.log_book import LogFacts
from contracts.record.sample import DrawnRow, Sample, seed_of
from contracts.record.standings import Standings
from verifier.audit.evidence import AuditEvidence
from verifier.audit.rows import Draws


def draw_all(evidence: AuditEvidence) -> Draws:
    """The draws of every row of every revealed epoch. Notes traces and observations that the log lacks."""
    draws: Draws = {}
    facts, constants = LogFacts(evidence.book, evidence.source), evidence.constants
    sample = Sample(evidence.history, facts, constants, Standings())
    for epoch_id in sorted(evidence.history.epochs):
        seed = seed_of(evidence.history, constants, epoch_id, evidence.chain.block_hash)
        if seed is not None:
            with evidence.findings.watching(epoch=epoch_id):
                draws[epoch_id] = {drawn.row.digest: drawn for drawn in sample.draw(epoch_id, seed)}
    return draws


def check_sample(evidence: AuditEvidence, draws: Draws) -> None:
    """Notes broken beacon links and, for epochs whose check period has ended, sampled rows that nobody checked."""
    epochs = evidence.history.epochs
    for epoch_id, posted in sorted(epochs.items()):
        following = epochs.get(epoch_id + 1)
        if following is not None:
            rule = "the next epoch's beacon hashes to this epoch's"
            tip = _tip_before(evidence, posted, following)
            evidence.findings.expect(rule, tip, keccak(following.beacon), epoch=epoch_id)
    for epoch_id, rows in draws.items():
        if _is_over(evidence, epoch_id):
            for drawn in rows.values():
                _check_row(evidence, epoch_id, drawn)


def _tip_before(evidence: AuditEvidence, posted: PostedEpoch, following: PostedEpoch) -> bytes:
    """The hash of the next beacon value: this epoch's value, or the governor's reset in between."""
    blocks = range(posted.block_number, following.block_number + 1)
    resets = [e.args["tip"] for e in evidence.history.of("BeaconReset") if e.block_number in blocks]
    return bytes(resets[-1]) if resets else posted.beacon


def _is_over(evidence: AuditEvidence, epoch_id: int) -> bool:
    """Whether the check period has ended, and the longest time after it until its last verdicts are logged."""
    ends_at = evidence.history.epochs[epoch_id + 1].timestamp + evidence.constants.check_wait_s
    return evidence.head.timestamp > ends_at + evidence.constants.epoch_max_s


def _check_row(evidence: AuditEvidence, epoch_id: int, drawn: DrawnRow) -> None:
    index = drawn.row.index
    if not drawn.sampled:
        return
    verdicts = evidence.book.verdicts_on(drawn.row.digest)
    in_court = evidence.history.case_on(epoch_id, index) is not None
    if verdicts or in_court:
        explained = in_court or any(entry.opening is not None for entry in verdicts)
        rule = "a verdict without an opening has a case"
        evidence.findings.expect(rule, True, explained, epoch=epoch_id, row=index)
        return
    duty = ", ".join(map(str, drawn.duty)) or "nobody: no verifier was active"
    found = f"none; threshold {to_hex(drawn.threshold.to_bytes(33, 'big'))}, on duty {duty}"
    evidence.findings.expect("the sampled row has a verdict or a case", "one", found, epoch=epoch_id, row=index)
