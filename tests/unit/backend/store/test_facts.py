"""Events are found by an index, whatever number of them there is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlmodel import Session

from backend.services.settling import void_rows
from backend.store import facts
from contracts.protocol.hashing import ZERO32, to_hex
from contracts.record.history import PostedEpoch
from tests.unit.backend.world import REQUESTER, World

OPERATOR, LANE, CASE = 1, REQUESTER.address, to_hex(ZERO32)
EPOCH = PostedEpoch(1, ZERO32, 1, ZERO32, ZERO32, 1, 1, ZERO32)

READS: dict[str, Callable[[World, Session], object]] = {
    "jobs": lambda world, session: facts.jobs(session),
    "open_in_lane": lambda world, session: facts.open_in_lane(session, LANE, LANE, world.now_s),
    "exposed_of_operator": lambda world, session: facts.exposed_of_operator(session, OPERATOR, world.now_s, 60),
    "guilty_case": lambda world, session: facts.guilty_case(session, OPERATOR, lambda _: False),
    "last_post": lambda world, session: facts.last_post(session),
    "posts_since": lambda world, session: facts.posts_since(session, world.now_s),
    "void_rows": lambda world, session: void_rows(session, Any, EPOCH, hurry=False),  # type: ignore[arg-type]
    "epochs": lambda world, session: world.services.views.epochs(),
}
"""What intake, leasing, posting, settling and the pages read again and again."""


@dataclass
class Statements:
    """The statements that a piece of code ran on the events, as SQLite means to run them."""

    plans: list[str] = field(default_factory=list)


@contextmanager
def watched(world: World) -> Iterator[Statements]:
    """Notes how SQLite reads `chain_event` for each statement that is run inside."""
    engine: Engine = world.database._engine
    found = Statements()

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: object) -> None:
        if "chain_event" in statement and statement.startswith("SELECT"):
            steps = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            found.plans += [step[3] for step in steps if "chain_event" in step[3]]

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("name", READS)
def test_events_are_foundByIndex(world: World, name: str) -> None:
    """Protects a coordinator with a million events: none of these reads all events of a name."""
    world.deliver()
    world.close_epoch()
    world.event("EpochPosted", id=1, count=1)
    with watched(world) as found, world.database.read() as session:
        READS[name](world, session)
    assert found.plans
    for plan in found.plans:
        assert plan.startswith("SEARCH chain_event USING INDEX")
        narrowed = plan.partition("(name=?")[2]
        is_newest = name == "last_post" and "ix_chain_event_place" in plan
        assert is_newest or narrowed.startswith((" AND subject=?", " AND operator_id=?", " AND block_number>?")), plan
