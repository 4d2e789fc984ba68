"""The journal: one answer and one signature an order, whatever crashes and whatever is sent again."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.protocol.signing import Signer
from node_agent.errors import CallFailed, JournalError
from node_agent.session.journal import NodeJournal
from tests.unit.node_agent.session.session_world import MakeWorld, World
from tests.world.node_fakes import EchoEngine, problem
from tests.world.prompts import bare
from tests.world.soak import short_or_long


class Crash(BaseException):
    """The process dies here."""


STEPS = ("before record", "after record", "before sign", "after sign", "blob", "submit", "reply lost", "none")


def crash_at(world: World, journal: NodeJournal, step: str) -> None:
    """Arms one crash: around the journal's writes, or in the middle of a call."""

    def wrap(name: str) -> None:
        real = getattr(journal, name)

        def dying(*arguments: object) -> object:
            if step == f"before {name}":
                raise Crash
            result = real(*arguments)
            if step == f"after {name}":
                raise Crash
            return result

        setattr(journal, name, dying)

    wrap("record")
    wrap("sign")

    def intercept(method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        if step == "blob" and method == "PUT":
            raise Crash
        if step == "submit" and path.endswith("/commitments"):
            raise Crash
        if step == "reply lost" and path.endswith("/commitments"):
            world.backend.intercept = lambda *call: None
            world.backend.handle(method, path, body)
            raise Crash
        return None

    world.backend.intercept = intercept


@settings(max_examples=short_or_long(25, 500), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(STEPS)), min_size=1, max_size=8))
def test_one_signature_an_order_in_any_interleaving(make_world: MakeWorld, plan: list[tuple[int, str]]) -> None:
    """Any interleaving of runs, crashes and retries, with an engine that never repeats itself, yields at most one
    commitment and one signature for each order. Covers: A56, A45"""
    world, engine = make_world(), EchoEngine(fickle=True)
    orders = [world.backend.order(b"job %d" % index) for index in range(3)]
    for index, step in plan:
        journal = world.journal()
        committer = world.committer(journal)
        crash_at(world, journal, step)
        job = world.backend.known[orders[index]]
        try:
            committer.commit(
                world.backend.grant(job, world.signer.address), engine.execute(bare("job"), {"max_new_tokens": 4})
            )
        except Crash:
            pass
        finally:
            journal.close()
        world.backend.intercept = lambda method, path, body: None
    journal = world.journal()
    world.committer(journal).resume()
    sent: dict[str, set[tuple[str, str]]] = {}
    for each in world.backend.commitments:
        key = (each.commitment.model_dump_json(), each.signature)
        sent.setdefault(each.commitment.order_id, set()).add(key)
    assert all(len(versions) == 1 for versions in sent.values())
    assert journal.pending() == []
    for order_id, versions in sent.items():
        answer = journal.find(order_id)
        assert answer is not None
        assert versions == {(answer.commitment.model_dump_json(), answer.signature)}
    journal.close()


def test_first_answer_stands(world: World) -> None:
    """An answer computed again never replaces the journaled one. Covers: A56"""
    order_id = world.backend.order(b"hello")
    grant = world.backend.grant(world.backend.known[order_id], world.signer.address)
    journal, engine = world.journal(), EchoEngine(fickle=True)
    for _ in range(2):
        world.committer(journal).commit(grant, engine.execute(bare("hello"), {"max_new_tokens": 4}))
    assert len({each.signature for each in world.backend.commitments}) == 1
    assert len(world.backend.commitments) == 2


def test_nothing_is_signed_that_cannot_be_written(world: World) -> None:
    """A journal on a full or read-only disk means no signature, and an error that says so. Covers: A45"""
    order_id = world.backend.order(b"hello")
    grant = world.backend.grant(world.backend.known[order_id], world.signer.address)
    journal = world.journal()
    journal._db.execute("PRAGMA query_only = ON")
    with pytest.raises(JournalError, match="nothing is signed"):
        world.committer(journal).commit(grant, EchoEngine().execute(bare("hello"), {"max_new_tokens": 4}))
    assert world.backend.commitments == []


def test_late_refusal_is_kept_and_not_sent_again(world: World) -> None:
    """A commitment that the backend will not have is written down with the reason, and does not block the next job."""
    order_id = world.backend.order(b"hello")
    grant = world.backend.grant(world.backend.known[order_id], world.signer.address)
    world.backend.intercept = lambda method, path, body: (
        problem(409, "lease_expired", "nothing is owed for late work") if path.endswith("/commitments") else None
    )
    journal = world.journal()
    world.committer(journal).commit(grant, EchoEngine().execute(bare("hello"), {"max_new_tokens": 4}))
    assert journal.pending() == []
    [refused] = journal.refused()
    assert refused.refusal is not None
    assert "lease_expired" in refused.refusal


def test_refusal_for_now_is_sent_again(world: World) -> None:
    """429 says "not now": the answer stays to be delivered, so that no pay is lost to a rate limit."""
    order_id = world.backend.order(b"hello")
    grant = world.backend.grant(world.backend.known[order_id], world.signer.address)
    world.backend.intercept = lambda method, path, body: problem(429, "slow_down", "wait a second")
    journal = world.journal()
    with pytest.raises(CallFailed):
        world.committer(journal).commit(grant, EchoEngine().execute(bare("hello"), {"max_new_tokens": 4}))
    assert [answer.order_id for answer in journal.pending()] == [order_id]


def test_journal_belongs_to_one_key(world: World) -> None:
    """An answer journaled for one key must not be signed by another."""
    world.journal().close()
    with pytest.raises(JournalError, match="another --home"):
        NodeJournal(world.home / "journal.sqlite", node=Signer(b"\1" * 32).address, domain=world.deployment.domain)


def test_journal_is_private_and_durable(world: World) -> None:
    """The trace hash is the node's secret until a case: the files are its owner's alone. Commits are synced to disk."""
    journal = world.journal()
    grant_id = world.backend.order(b"hello")
    grant = world.backend.grant(world.backend.known[grant_id], world.signer.address)
    world.committer(journal).commit(grant, EchoEngine().execute(bare("hello"), {"max_new_tokens": 4}))
    for path in world.home.glob("journal.sqlite*"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    answer = journal.find(grant_id)
    assert answer is not None
    assert answer.trace_hash.hex() not in repr(answer)
    assert repr(answer.trace_hash) not in repr(answer)


def test_damaged_journal_is_an_error(world: World, tmp_path: Path) -> None:
    """A file that is no journal stops the node; it never starts over with an empty one."""
    (world.home / "journal.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 40)
    with pytest.raises(JournalError) as caught:
        world.journal()
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_an_answer_and_its_trace_are_written_together(world: World) -> None:
    """Protects a node on native work: a failure between the two leaves neither, so that no answer is signed whose trace
    can never be shown. Covers: A45, A56"""
    order_id = world.backend.order(b"hello")
    session = world.session()
    with sqlite3.connect(world.home / "journal.sqlite") as other:
        other.execute("ALTER TABLE traces RENAME TO lost")
    with pytest.raises(JournalError):
        session.step()
    with sqlite3.connect(world.home / "journal.sqlite") as other:
        other.execute("ALTER TABLE lost RENAME TO traces")
        assert other.execute("SELECT count(*) FROM answers").fetchone() == (0,)
    assert not world.backend.commitments
    assert world.session().step()
    (sent,) = world.backend.commitments
    assert sent.commitment.order_id == order_id
