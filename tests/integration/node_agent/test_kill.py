"""A node killed with SIGKILL at the worst moments: what it had decided is what it sends, and nothing else."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contracts.onchain.keystore import create_key
from contracts.protocol.hashing import keccak
from contracts.protocol.signing import Signer, recover
from contracts.protocol.wire import SubmitCommitment
from node_agent.app import JOURNAL, NODE_KEY, unix_time
from node_agent.session.journal import NodeJournal
from tests.world.node_fakes import FakeBackend, fake_deployment, fake_manifest, problem
from tests.world.waiting import PATIENCE_S

PASSWORD = "a password of this test"
SETTLER = Signer(keccak(b"settler"))
WAIT_S = PATIENCE_S


class Scene:
    """A backend over HTTP, and a node's home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.node = create_key(home / NODE_KEY, PASSWORD, iterations=2)
        self.deployment = fake_deployment(SETTLER.address)
        self.backend = FakeBackend(self.deployment, SETTLER, fake_manifest(), unix_time)

    @contextmanager
    def agent(self, url: str, slots: int = 1) -> Iterator[subprocess.Popen[bytes]]:
        """The node's process; killed at the end if it still runs."""
        script = Path(__file__).with_name("agent_process.py")
        command = [sys.executable, str(script), str(self.home), url, SETTLER.address, PASSWORD, str(slots)]
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": "."}) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def journal(self) -> NodeJournal:
        """The journal as it lies on disk."""
        return NodeJournal(self.home / JOURNAL, node=self.node.address, domain=self.deployment.domain)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A node that never ran."""
    return Scene(tmp_path)


@pytest.mark.parametrize("moment", ["before the output's upload", "before the commitment", "before the reply"])
def test_killed_between_journal_and_send(scene: Scene, moment: str) -> None:
    """Killed after the answer was journaled and before it was acknowledged, the node sends exactly that commitment and
    signature after its restart, though its engine would compute another. Covers: A56, A45"""
    reached, sent = threading.Event(), []

    def intercept(method: str, path: str, body: bytes) -> tuple[int, bytes] | None:
        is_commitment = path.endswith("/commitments")
        if is_commitment:
            sent.append(SubmitCommitment.model_validate_json(body))
        if is_commitment if moment != "before the output's upload" else method == "PUT":
            if moment == "before the reply":  # it arrives, the node never hears
                scene.backend.commitments.append(sent[-1])
            reached.set()
            hold.wait(WAIT_S)
            return problem(503, "gone", "the connection is dead")
        return None

    hold = threading.Event()
    order_id = scene.backend.order(b"hello")
    scene.backend.intercept = intercept
    with scene.backend.serve() as url, scene.agent(url) as agent:
        assert reached.wait(WAIT_S)
        agent.send_signal(signal.SIGKILL)
        agent.wait(WAIT_S)
        hold.set()
    journal = scene.journal()
    answer = journal.find(order_id)
    assert answer is not None
    assert journal.pending() == [answer]
    scene.backend.intercept = lambda method, path, body: done.set() if path == "/v1/operator/leases" else None
    done = threading.Event()
    with scene.backend.serve() as url, scene.agent(url) as agent:
        assert done.wait(WAIT_S)
        agent.terminate()
        assert agent.wait(WAIT_S) == 0
    expected = SubmitCommitment(commitment=answer.commitment, signature=str(answer.signature))
    assert scene.backend.commitments
    assert all(each == expected for each in [*sent, *scene.backend.commitments])
    assert (
        recover(scene.deployment.domain.commitment_digest(answer.commitment), expected.signature) == scene.node.address
    )
    after = journal.find(order_id)
    assert after is not None
    assert after.acknowledged_at is not None
    journal.close()


@pytest.mark.parametrize("slots", [1, 4])
def test_killed_at_any_time(scene: Scene, slots: int) -> None:
    """Killed again and again while it serves many jobs, and holds several, a node sends one commitment an order.

    Covers: A45, A56
    """
    orders = [scene.backend.order(b"job %d" % index) for index in range(40)]
    kills = 0
    with scene.backend.serve() as url:
        for target in (8, 16, 24, 32):
            reached = threading.Event()

            def intercept(
                method: str, path: str, body: bytes, target: int = target, reached: threading.Event = reached
            ) -> None:
                if len(scene.backend.commitments) >= target:
                    reached.set()

            scene.backend.intercept = intercept
            with scene.agent(url, slots) as agent:
                assert reached.wait(WAIT_S)
                agent.send_signal(signal.SIGKILL)
                agent.wait(WAIT_S)
                kills += 1
        done = threading.Event()
        scene.backend.intercept = lambda method, path, body: (
            done.set() if path.endswith("/leases") and not scene.backend.jobs else None
        )
        with scene.agent(url, slots) as agent:
            assert done.wait(WAIT_S)
            agent.terminate()
            assert agent.wait(WAIT_S) == 0
    by_order: dict[str, set[str]] = {}
    for each in scene.backend.commitments:
        by_order.setdefault(each.commitment.order_id, set()).add(each.signature)
    assert set(by_order) == set(orders)
    assert all(len(signatures) == 1 for signatures in by_order.values())
    assert kills == 4


def test_terminated_while_working_finishes_the_job(scene: Scene) -> None:
    """SIGTERM lets the job under way end: it is delivered, no other is asked for, and the process ends well."""
    asked, go = threading.Event(), threading.Event()

    def intercept(method: str, path: str, body: bytes) -> None:
        if method == "GET" and "/blobs/" in path:
            asked.set()
            go.wait(WAIT_S)

    first = scene.backend.order(b"one")
    scene.backend.order(b"two")
    scene.backend.intercept = intercept
    with scene.backend.serve() as url, scene.agent(url) as agent:
        assert asked.wait(WAIT_S)
        agent.terminate()
        go.set()
        assert agent.wait(WAIT_S) == 0
    assert [each.commitment.order_id for each in scene.backend.commitments] == [first]
