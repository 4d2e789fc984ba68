"""The verifier's journal: one answer a commitment, durable before anything is said."""

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.protocol.records import Opening, Verdict
from contracts.protocol.wire import SubmitVerdict
from verifier.errors import JournalInUse, SecondAnswer
from verifier.verdicts.journal import VerifierAnswer, VerifierJournal

DIGEST = b"\5" * 32


def opening(units: int = 3) -> Opening:
    return Opening(trace_hash="0x" + "11" * 32, output_root="0x" + "22" * 32, units=units)


def answer(units: int = 3, *, agrees: bool = False) -> VerifierAnswer:
    return VerifierAnswer(DIGEST, 1, 0, opening(units), agrees)


def submit() -> SubmitVerdict:
    verdict = Verdict(commitment_digest="0x" + DIGEST.hex(), verifier="0x" + "33" * 20, answer_commit="0x" + "44" * 32)
    return SubmitVerdict(epoch_id=1, verdict=verdict, signature="0x" + "55" * 65, opening=None)


@pytest.fixture
def journal(tmp_path: Path) -> VerifierJournal:
    return VerifierJournal(tmp_path / "journal.sqlite")


def test_the_first_answer_stands(journal: VerifierJournal) -> None:
    """A host that computes something else the second time cannot contradict itself in public."""
    journal.record(answer(3))
    journal.record(answer(3))
    with pytest.raises(SecondAnswer):
        journal.record(answer(4))
    assert journal.answer(DIGEST) == answer(3)
    assert journal.disagreements() == [answer(3)]


def test_a_verdict_waits_until_it_is_acknowledged(journal: VerifierJournal) -> None:
    """Nothing signed is forgotten before the backend has it."""
    journal.record(answer())
    journal.record_verdict(submit())
    journal.record_verdict(submit())
    assert journal.unacknowledged() == [submit()]
    journal.acknowledge(submit().verdict.commitment_digest)
    assert journal.unacknowledged() == []
    assert journal.has_verdict(DIGEST)


def test_two_processes_never_share_a_journal(tmp_path: Path) -> None:
    """A second verifier on one key would race the first; it is told so."""
    first = VerifierJournal(tmp_path / "journal.sqlite")
    with pytest.raises(JournalInUse):
        VerifierJournal(tmp_path / "journal.sqlite")
    first.close()
    VerifierJournal(tmp_path / "journal.sqlite").close()


def test_an_answer_survives_kill_minus_nine(tmp_path: Path) -> None:
    """What was recorded before the kill is there after it, and the file opens again. Covers: A45"""
    path = tmp_path / "journal.sqlite"
    program = (
        "import os, pathlib, sys\n"
        "from contracts.protocol.records import Opening\n"
        "from verifier.verdicts.journal import VerifierAnswer, VerifierJournal\n"
        "opening = Opening(trace_hash='0x' + '11' * 32, output_root='0x' + '22' * 32, units=3)\n"
        "VerifierJournal(pathlib.Path(sys.argv[1])).record(VerifierAnswer(bytes([5]) * 32, 1, 0, opening, False))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], cwd=Path(__file__).parents[3], check=False)
    assert ended.returncode == -9
    assert VerifierJournal(path).answer(DIGEST) == answer()
