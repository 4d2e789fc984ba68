"""Leases over whole lives of nodes that hold several: whatever is lost, forgotten or late."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlmodel import select

from backend.domain.errors import LeaseExpired, LeaseNotHeld
from backend.store.tables import LeaseRow
from contracts.protocol.lane import Lane
from contracts.protocol.signing import Signer
from tests.unit.backend.world import NODE, OTHER_NODE, REQUESTER, World, commitment_for
from tests.world.soak import short_or_long

NODES = st.sampled_from([NODE, OTHER_NODE])
SLOTS = 3


class Leases(RuleBasedStateMachine):
    """Two nodes with three slots each ask, lose answers, restart, deliver and fall silent.

    `known` is what each believes to hold; what it was granted and did not hear of, only the backend knows.
    """

    @initialize()
    def open(self) -> None:
        self.folder = TemporaryDirectory()
        self.world = World(Path(self.folder.name))
        self.world.chain.lanes[REQUESTER.address, REQUESTER.address] = Lane(balance=10**9)
        self.known: dict[str, list[str]] = {NODE.address: [], OTHER_NODE.address: []}
        self.delivered: set[str] = set()

    @rule()
    def order(self) -> None:
        self.world.order()

    @rule(node=NODES, heard=st.booleans())
    def ask(self, node: Signer, heard: bool) -> None:
        """Asks while it has a free slot; the answer may be lost. What it works on comes again only after a lapse."""
        known = self.known[node.address]
        if len(known) == SLOTS:
            return
        held = self._held(node)
        grant = self.world.services.leasing.lend(self.world.ask(node, known))
        if grant is not None:
            assert grant.lease.order_id not in {*known} & {*held}
            assert grant.lease.order_id not in self.delivered
            if heard and grant.lease.order_id not in known:
                known.append(grant.lease.order_id)

    @rule(node=NODES)
    def restart(self, node: Signer) -> None:
        """Forgets everything; asking without a job in between brings all of it back."""
        held = self._held(node)
        self.known[node.address] = again = []
        for _ in held:
            again.append(self.world.services.leasing.lend(self.world.ask(node, again)).lease.order_id)  # type: ignore[union-attr]
        assert again == held

    @rule(node=NODES, index=st.integers(0, SLOTS - 1))
    def deliver(self, node: Signer, index: int) -> None:
        """Delivers one of them, in any order; one whose lease is over is refused."""
        known = self.known[node.address]
        if index >= len(known):
            return
        order_id, held = known.pop(index), self._held(node)
        if order_id in held:
            self.world.services.delivery.receive(commitment_for(order_id, node))
            self.delivered.add(order_id)
        else:
            with pytest.raises((LeaseNotHeld, LeaseExpired)):
                self.world.services.delivery.receive(commitment_for(order_id, node))

    @rule(seconds=st.sampled_from([1, 20, 61]))
    def wait(self, seconds: int) -> None:
        self.world.now_s += seconds

    @invariant()
    def nobody_holds_more_than_it_can_do(self) -> None:
        for node in (NODE, OTHER_NODE):
            assert len(self._held(node)) <= SLOTS

    @invariant()
    def leases_of_one_job_never_overlap(self) -> None:
        with self.world.database.read() as session:
            rows = list(session.exec(select(LeaseRow).order_by(LeaseRow.id)))  # type: ignore[arg-type]
        ends: dict[str, int] = {}
        for row in rows:
            assert row.granted_at > ends.get(row.order_id, 0)
            ends[row.order_id] = row.expires

    def teardown(self) -> None:
        self.world.database.close()
        self.folder.cleanup()

    def _held(self, node: Signer) -> list[str]:
        """The orders of a node's leases that run, oldest first, by the rows themselves."""
        with self.world.database.read() as session:
            rows = list(session.exec(select(LeaseRow).order_by(LeaseRow.id)))  # type: ignore[arg-type]
        return [
            row.order_id
            for row in rows
            if row.node == node.address and row.expires >= self.world.now_s and row.order_id not in self.delivered
        ]


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=short_or_long(6, 200), stateful_step_count=30)
TestLeases.__doc__ = """Protects requesters and nodes: leases of one job never overlap, a node that lost an answer or
restarted gets exactly what it holds, and none holds more jobs than it has slots. Covers: A03, A45"""
