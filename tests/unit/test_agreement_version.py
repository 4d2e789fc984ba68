"""Homes, files and databases of another agreement are refused by name, with the way out: nothing would count there."""

import json
import sqlite3
from pathlib import Path

import pytest

from backend.errors import Misconfigured
from backend.store.database import Database
from contracts.onchain.deployment import Deployment, DeploymentInputs
from contracts.onchain.errors import BadDeployment
from contracts.protocol.typed_data import VERSION, Domain
from node_agent.errors import JournalError
from node_agent.session.journal import NodeJournal
from tests.world.node_fakes import fake_deployment
from verifier.errors import JournalOutdated
from verifier.verdicts.journal import VerifierJournal

NODE, DOMAIN = "0x" + "11" * 20, Domain(31337, "0x" + "22" * 20)


@pytest.mark.parametrize("agreement", [None, "1", "3"])
def test_a_deployment_file_of_another_agreement(tmp_path: Path, agreement: str | None) -> None:
    """Protects from signing under a domain that nobody checks: a file from before has no agreement in it."""
    path = tmp_path / "deployment.json"
    inputs = DeploymentInputs(
        origin=NODE, salt="0x" + "44" * 32, proposers=(NODE,), executors=(), code_hashes={"JobEscrow": "0x" + "55" * 32}
    )
    fake_deployment("0x" + "33" * 20).model_copy(update={"founding": inputs}).save(path)
    assert Deployment.load(path).founding == inputs
    fields = json.loads(path.read_text())
    fields.pop("agreement") if agreement is None else fields.update(agreement=agreement)
    path.write_text(json.dumps(fields))
    with pytest.raises(BadDeployment, match=f"of agreement {agreement or 1}, this release is of agreement {VERSION}"):
        Deployment.load(path)


def test_a_database_of_another_agreement(tmp_path: Path) -> None:
    """Protects a backend's facts from being read as what they are not; its own are opened again."""
    Database.at(tmp_path / "own.db").close()
    Database.at(tmp_path / "own.db").close()
    with sqlite3.connect(tmp_path / "old.db") as old:
        old.execute('CREATE TABLE "order" (order_id TEXT PRIMARY KEY)')
    with pytest.raises(Misconfigured, match=f"another agreement or schema .* agreement {VERSION}.*; use the release"):
        Database.at(tmp_path / "old.db")


def test_journals_of_another_agreement(tmp_path: Path) -> None:
    """Protects what was signed: an old journal is neither read nor written over, by nodes and by verifiers."""
    NodeJournal(tmp_path / "own.sqlite", node=NODE, domain=DOMAIN).close()
    NodeJournal(tmp_path / "own.sqlite", node=NODE, domain=DOMAIN).close()
    VerifierJournal(tmp_path / "verifier.sqlite")
    for name in ("node", "verdicts"):
        with sqlite3.connect(tmp_path / f"{name}.sqlite") as old:
            old.execute("CREATE TABLE answers (order_id TEXT PRIMARY KEY)")
    before = (tmp_path / "node.sqlite").read_bytes()
    with pytest.raises(JournalError, match="holds answers of agreement 1"):
        NodeJournal(tmp_path / "node.sqlite", node=NODE, domain=DOMAIN)
    assert sqlite3.connect(tmp_path / "node.sqlite").execute("SELECT count(*) FROM sqlite_master").fetchone() == (2,)
    assert before[:16] == (tmp_path / "node.sqlite").read_bytes()[:16]
    with pytest.raises(JournalOutdated, match="holds answers of agreement 1"):
        VerifierJournal(tmp_path / "verdicts.sqlite")
