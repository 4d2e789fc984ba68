"""The verifier before the court, where the chain takes back what it was about to act on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.records import Opening
from contracts.record.history import History
from tests.unit.record.records import DOMAIN, NODE, book, job
from verifier.verdicts.court import Court
from verifier.verdicts.journal import VerifierAnswer, VerifierJournal


class Sent:
    """A sender that keeps the calls it was asked for."""

    def __init__(self) -> None:
        self.signer, self.calls = SimpleNamespace(address=NODE.address), list[str]()

    def call(self, name: str) -> dict[str, Any]:
        self.calls.append(name)
        return {"blockNumber": 1}


def test_a_reorg_takes_an_epoch_back_and_the_verifier_lives(tmp_path: Path) -> None:
    """Protects verifiers: one whose disagreement is about an epoch that a reorg removed waits for its next post,
    instead of dying of it, and opens its case then."""
    functions = SimpleNamespace(openCase=lambda *_: "openCase")
    chain: Any = SimpleNamespace(
        deployment=SimpleNamespace(constants=DEVELOPMENT, domain=DOMAIN),
        court=SimpleNamespace(functions=functions),
    )
    sender: Any = Sent()
    journal, known = VerifierJournal(tmp_path / "journal.sqlite"), job(0)
    opening = Opening(trace_hash="0x" + "11" * 32, output_root="0x" + "22" * 32, units=3)
    journal.record(VerifierAnswer(known.digest, 1, 0, opening, agrees=False))
    court = Court(chain, sender, journal, lambda: 0.0)
    court.act(History(), book(known), account=7, now=1000)
    assert sender.calls == []
    posted: Any = SimpleNamespace(timestamp=1000)
    court.act(History(epochs={1: posted}), book(known), account=7, now=1000)
    assert sender.calls == ["openCase"]
