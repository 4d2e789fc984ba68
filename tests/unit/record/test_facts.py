"""Both adapters of `contracts.record.facts` on one history: the tables of a backend, and the log that it wrote from
them. Only the chain is left out."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby, product
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel

from backend.services.closing import ClosingRule, close_epoch
from backend.services.record import PublicRecord
from backend.store.event_rows import load_history
from backend.store.record import SqlFacts
from backend.store.tables import CommitmentRow, EpochRow, OrderRow, TraceRow, VerdictRow, WorkloadRow
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.native import Standing
from contracts.protocol.native.fingerprint import CIRCLE, NativeOpening
from contracts.protocol.native.observation import observed_opening
from contracts.protocol.records import COMPARATORS, Commitment, Opening, Order, Verdict
from contracts.protocol.typed_data import answer_commit, trace_commit
from contracts.record.log_book import LogBook, LogFacts, read_epoch
from contracts.record.log_source import split_lines
from contracts.record.standings import Standings
from tests.native_double import NODE_CLASS, VERIFIER_CLASS, WEIGHTS_SHA256, NativeDouble
from tests.unit.backend.world import DEPLOYMENT, DOMAIN, MANIFEST, NODE, NOW, REQUESTER, World, signer, terms
from tests.world.soak import short_or_long

EXACT = MANIFEST.model_copy(update={"weights_sha256": WEIGHTS_SHA256})
NATIVE = EXACT.model_copy(update={"comparator": "native", "numeric_class": None})
OPERATORS, VERIFIERS, EPOCHS = (1, 2), (0, 1, 2), 5
REVEALED = 2
"""Epochs from a job's row to the first log that may hold what was seen of it."""

TOKENS = 8
SIGNATURE = "0x" + "22" * 64 + "1b"


@dataclass(frozen=True)
class Seen:
    """An observation, published so many epochs after the first that it could be: 1 or 2 may be after the trace."""

    verifier: int
    says: str = "sees"
    late: int = 0


@dataclass(frozen=True)
class Job:
    """A job in an epoch's root. `off`: so many of its tokens are not the model's; `trace`: what its node committed to.

    `late`: how many epochs after the first possible the trace is shown.
    """

    epoch: int
    operator: int
    seen: tuple[Seen, ...]
    off: int = 0
    trace: str = "whole"
    late: int = 0
    native: bool = True


SEEN = st.builds(
    Seen, st.sampled_from(VERIFIERS), st.sampled_from(["sees"] * 4 + ["lies", "nonsense", "unmeasured"]),
    st.sampled_from([0, 0, 1, 2]),
)  # fmt: skip
JOBS = st.builds(
    Job,
    epoch=st.integers(1, EPOCHS - REVEALED),
    operator=st.sampled_from(OPERATORS),
    seen=st.lists(SEEN, max_size=3, unique_by=lambda seen: seen.verifier).map(tuple),
    off=st.integers(0, TOKENS),
    trace=st.sampled_from(["whole"] * 5 + ["long", "short"]),
    late=st.integers(0, 2),
    native=st.sampled_from([True] * 5 + [False]),
)


class Published:
    """A backend that closes an epoch after the other, and the log that it wrote, as a source for verifiers."""

    def __init__(self, world: World) -> None:
        self.world, self.record = world, PublicRecord(world.blobs, DEPLOYMENT.constants, lambda _: bytes(32))
        with world.database.begin() as session:
            for manifest in (NATIVE, EXACT):
                prices = {"fixed_price": 1, "unit_price": 1, "max_units": TOKENS}
                workload_id = manifest.workload_id()
                session.add(WorkloadRow(workload_id=workload_id, manifest=manifest.canonical(), **prices))

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        return split_lines(self.world.services.views.log_file(epoch_id))

    def blob(self, blob_hash: str) -> bytes:
        return self.world.blobs.get(blob_hash)

    def play(self, jobs: tuple[Job, ...]) -> Iterator[int]:
        """Closes and posts each epoch with what is due in it; yields its id."""
        for epoch_id in range(1, EPOCHS + 1):
            with self.world.database.begin() as session:
                filler = Job(epoch_id, 9, (), native=False)  # no epoch closes without a row
                session.add_all(_delivered(len(jobs) + epoch_id, filler))
                for index, job in enumerate(jobs):
                    session.add_all(self._due(index, job, epoch_id))
            self._close(epoch_id)
            yield epoch_id

    def _due(self, index: int, job: Job, epoch_id: int) -> Iterator[SQLModel]:
        """What happens to a job before an epoch closes."""
        if job.epoch == epoch_id:
            yield from _delivered(index, job)
        since, put = epoch_id - job.epoch - REVEALED, self.world.blobs.put
        commitment, _ = committed(index, job)
        digest = to_hex(DOMAIN.commitment_digest(commitment))
        for seen in (each for each in job.seen if each.late == since):
            looked = observation(index, seen)
            yield _said(job, seen, commitment, observed_opening(looked, commitment), put(looked))
        if job.late == since:
            yield TraceRow(commitment_digest=digest, trace=put(trace_of(index, job)), received_at=NOW + index)

    def _close(self, epoch_id: int) -> None:
        blank, bond = SimpleNamespace(hash=bytes(32)), SimpleNamespace(call=lambda: (10**12, 0, 0, 0, 0))
        chain: Any = SimpleNamespace(  # what closing asks of a chain: time, a bond that covers all, hashes for the seed
            deployment=DEPLOYMENT, head=lambda: SimpleNamespace(timestamp=NOW), block=lambda _: blank,
            escrow=SimpleNamespace(functions=SimpleNamespace(settlerBond=lambda: bond)),
        )  # fmt: skip
        world, treasury = self.world, REQUESTER.address
        close_epoch(world.database, self.record, chain, treasury, ClosingRule(0), NOW)
        with world.database.read() as session:
            closed = session.get_one(EpochRow, epoch_id)
        roots = {"root": closed.root, "logRoot": closed.log_root}
        world.event("EpochPosted", id=epoch_id, count=closed.row_count, beacon="0x" + "07" * 32, **roots)


def committed(index: int, job: Job) -> tuple[Commitment, Order]:
    """A job's commitment, and its order. Its salt is the index, so that no two are alike."""
    manifest = NATIVE if job.native else EXACT
    comparator = COMPARATORS[manifest.comparator]
    wanted = terms(workload_id=manifest.workload_id(), comparator=comparator, salt=index, max_price=9)
    order = Order(requester=REQUESTER.address, spend_cap=9, terms=wanted)
    order_id, hidden = DOMAIN.order_id(order), hashlib.sha256(trace_of(index, job)).digest()
    commitment = Commitment(
        order_id=to_hex(order_id), node=NODE.address, output_root=to_hex(keccak(b"out")), units=TOKENS,
        trace_commit=to_hex(trace_commit(hidden, order_id, NODE.address)),
    )  # fmt: skip
    return commitment, order


def _delivered(index: int, job: Job) -> Iterator[SQLModel]:
    commitment, order = committed(index, job)
    yield OrderRow(
        order_id=commitment.order_id, requester=order.requester, signer=order.requester, spend_cap=9,
        workload_id=order.terms.workload_id, prompt_root=order.terms.prompt_root, order_json=order.model_dump_json(),
        signature=SIGNATURE, max_price=9, deadline=NOW, accepted_at=NOW,
    )  # fmt: skip
    yield CommitmentRow(
        digest=to_hex(DOMAIN.commitment_digest(commitment)), order_id=commitment.order_id, node=commitment.node,
        operator_id=job.operator, commitment_json=commitment.model_dump_json(), signature=SIGNATURE, amount=9,
        received_at=NOW,
    )  # fmt: skip


def _said(job: Job, seen: Seen, commitment: Commitment, opening: Opening, name: str) -> VerdictRow:
    """A verdict as a backend has it. `Verdicts` would refuse one that is late or nonsense; another's need not."""
    key, digest = signer(f"verifier {seen.verifier}").address, DOMAIN.commitment_digest(commitment)
    hidden = to_hex(answer_commit(opening, digest, key))
    verdict = Verdict(commitment_digest=to_hex(digest), verifier=key, answer_commit=hidden)
    return VerdictRow(
        digest=to_hex(DOMAIN.verdict_digest(verdict)), epoch_id=job.epoch, commitment_digest=to_hex(digest),
        verifier=key, operator_id=20 + seen.verifier, verdict_json=verdict.model_dump_json(), observation=name,
        opening_json=opening.model_dump_json(), signature=SIGNATURE, received_at=NOW,
    )  # fmt: skip


def trace_of(index: int, job: Job) -> bytes:
    """What a node computed, with `off` of its tokens moved as far as can be. An exact node's is another's engine's."""
    run = NativeDouble(NODE_CLASS, tokens=TOKENS).execute(bytes([index]), {})
    opening = NativeOpening.decode(run.trace)
    moved = bytes((byte + CIRCLE // 2) % CIRCLE for byte in opening.fingerprint[: 2 * job.off])
    fingerprint = moved + opening.fingerprint[2 * job.off :]
    whole = NativeOpening(opening.numeric_class, opening.rows_digest, fingerprint).encode()
    return {"whole": whole, "long": whole + b"?", "short": b"?"}[job.trace]


def observation(index: int, seen: Seen) -> bytes:
    """What a verifier publishes: what it saw, what another model would see, what is none, or of a class unmeasured."""
    if seen.says == "nonsense":
        return b"nonsense %d" % seen.verifier
    numeric_class = "77" * 32 if seen.says == "unmeasured" else VERIFIER_CLASS
    flavour = b"another" if seen.says == "lies" else b"honest"
    return NativeDouble(numeric_class, flavour, tokens=TOKENS).observe(bytes([index]), {}, b"")


@contextmanager
def published() -> Iterator[Published]:
    with TemporaryDirectory() as folder:
        world = World(Path(folder))
        yield Published(world)
        world.database.close()


@cache
def both(jobs: tuple[Job, ...], forget: bool = False) -> list[Standing]:
    """The first operator's standings, epoch by epoch, once both adapters have told the same of every epoch: as the log
    grows, and by all of it. `forget`: the log's reader drops every epoch as soon as it is read."""
    with published() as log:
        world, book = log.world, LogBook(DOMAIN)
        growing, lines = Standings(), LogFacts(book, log)
        for closed in log.play(jobs):
            with world.database.read() as session:
                read_epoch(book, load_history(session).epochs[closed], log.epoch_lines(closed))
                tables = SqlFacts(session, world.blobs)
                assert lines.job_rows(closed) == tables.job_rows(closed)
                assert lines.shown_traces(closed) == tables.shown_traces(closed)
                if forget:
                    book.forget(closed)
                for operator in OPERATORS:
                    assert log.record.standing(session, operator) == growing.at(lines, operator, closed + 1)
        with world.database.read() as session:
            tables, whole = SqlFacts(session, world.blobs), Standings()
            for operator, epoch_id in product(OPERATORS, range(1, EPOCHS + 2)):
                assert whole.at(tables, operator, epoch_id) == growing.at(lines, operator, epoch_id)
    return [whole.at(tables, 1, epoch_id) for epoch_id in range(1, EPOCHS + 2)]


ALL = tuple(Seen(each) for each in VERIFIERS)
CAUGHT = (Job(1, 1, ALL, off=TOKENS), Job(2, 1, ALL, off=TOKENS))
MENDED = (Job(1, 1, ALL, off=3), Job(2, 1, ALL), Job(3, 1, ALL))
WORSE = (Job(1, 1, ALL), Job(2, 1, ALL), Job(3, 1, ALL, off=4))
MIXED = (Job(1, 1, ALL), Job(1, 1, ALL[:1], off=TOKENS), Job(1, 1, ALL), Job(1, 1, ALL))
"""The bad one comes last by its digest, and second by when it was received."""
UNSEEN = tuple(Job(epoch, 1, tuple(Seen(each, late=1) for each in VERIFIERS), off=TOKENS) for epoch in (1, 2))


# Without shrinking, which would outlast a test's time: no history is long.
@settings(max_examples=short_or_long(4, 100), phases=[Phase.generate], derandomize=True)
@given(jobs=st.lists(JOBS, max_size=7).map(tuple))
def test_bothAdapters_tellTheSame(jobs: tuple[Job, ...]) -> None:
    """Protects nodes and the sample: whoever reads the log gives an operator the standing that the backend lends and
    pays checks by, at every epoch. Covers: A53"""
    for found in both(jobs):
        event(f"{found.state}, reputation {found.reputation_ppm}")


@pytest.mark.parametrize(
    ("jobs", "states"),
    [
        (CAUGHT, "clear withheld"),
        (MENDED, "clear watch clear"),
        (WORSE, "clear watch"),
        (MIXED, "clear watch"),
        (UNSEEN, "clear"),
    ],
)
def test_theHistories_moveStandings(jobs: tuple[Job, ...], states: str) -> None:
    """Protects the same where standings move: order counts, and what comes too late does not. Covers: A53"""
    assert [state for state, _ in groupby(found.state for found in both(jobs))] == states.split()


@pytest.mark.parametrize("jobs", [CAUGHT, MIXED, UNSEEN])
def test_aBookThatForgets_tellsTheSame(jobs: tuple[Job, ...]) -> None:
    """Protects long-lived verifiers, whose memory is bounded: what is dropped of old epochs changes no standing."""
    assert both(jobs, forget=True) == both(jobs)
