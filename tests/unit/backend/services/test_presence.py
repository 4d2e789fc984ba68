"""Who serves a workload is told from what nodes just did, at a cost that does not grow; one key serves one place."""

import pytest
from sqlalchemy import event
from sqlmodel import select

from backend.domain.errors import OperatorSuspended, StakeTooLow
from backend.errors import NodeElsewhere
from backend.services.presence import NOTED_EVERY_S
from backend.store.tables import PresenceRow
from contracts.protocol.wire import SERVING_WINDOW_S
from tests.unit.backend.world import NODE, OTHER_NODE, WORKLOAD, World

HERE, THERE = "0x" + "11" * 32, "0x" + "22" * 32


def serving(world: World) -> int:
    """What the price sheet says of the one workload."""
    (entry,) = world.services.views.network().price_sheet
    assert entry.workload_id == WORKLOAD
    return entry.serving


def test_the_price_sheet_says_how_many_nodes_asked_lately(world: World) -> None:
    """Nobody before a node asks; each node once, however often it asks; nobody once the window is over."""
    assert serving(world) == 0
    for key in (NODE, NODE, OTHER_NODE):
        assert world.services.leasing.lend(world.ask(key)) is None
    assert serving(world) == 2
    world.now_s += SERVING_WINDOW_S - 1
    assert serving(world) == 2
    world.now_s += 1
    assert serving(world) == 0


def test_a_node_at_work_still_serves(world: World) -> None:
    """A job that outlasts the window: its heartbeats say that the node is there."""
    world.order(deadline=world.now_s + 120)
    order_id = world.lend().lease.order_id
    for _ in range(6):
        world.now_s += 20
        world.services.leasing.extend(world.beat(order_id))
    assert serving(world) == 1


def test_who_is_refused_work_does_not_serve(world: World) -> None:
    """A node whose stake covers no job that waits, or that was convicted, would only keep orders waiting."""
    world.chain.operators[1] = world.chain.operators[1].__class__(stake=1)
    world.order()
    with pytest.raises(StakeTooLow):
        world.services.leasing.lend(world.ask())
    assert serving(world) == 0


def test_noting_it_costs_a_row_a_node_and_seldom_a_write(world: World) -> None:
    """A node that asks every two seconds all day leaves one row, written at most every NOTED_EVERY_S."""
    writes: list[str] = []

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if "presence" in statement and statement.split()[0] in ("INSERT", "UPDATE"):
            writes.append(statement)

    event.listen(world.database._engine, "before_cursor_execute", count)
    asks = 60
    for _ in range(asks):
        world.services.leasing.lend(world.ask())
        world.now_s += 2
    with world.database.read() as session:
        assert len(session.exec(select(PresenceRow)).all()) == 1
    assert 1 <= len(writes) <= 2 * asks // NOTED_EVERY_S + 1


def test_one_key_is_served_in_one_place_at_a_time(world: World) -> None:
    """A second run of the same key, on another host, is lent nothing while the first is alive; then it takes over.

    It would be given the first one's job as one "held unawares", and two answers to one order are slashed.
    """
    world.order()
    assert world.services.leasing.lend(world.ask(session=HERE)) is not None
    with pytest.raises(NodeElsewhere, match=f"{NODE.address}.*0 s ago"):
        world.services.leasing.lend(world.ask(session=THERE))
    for _ in range(4):
        world.now_s += SERVING_WINDOW_S // 3
        world.services.leasing.lend(world.ask(session=HERE))
        with pytest.raises(NodeElsewhere):
            world.services.leasing.lend(world.ask(session=THERE))
    world.now_s += SERVING_WINDOW_S
    world.services.leasing.lend(world.ask(session=THERE))
    with pytest.raises(NodeElsewhere):
        world.services.leasing.lend(world.ask(session=HERE))


def test_another_key_may_serve_beside_it(world: World) -> None:
    """The guard is about one key, not about one operator or one host."""
    world.services.leasing.lend(world.ask(NODE, session=HERE))
    world.services.leasing.lend(world.ask(OTHER_NODE, session=THERE))
    world.services.leasing.lend(world.ask(OTHER_NODE, session=THERE))
    assert serving(world) == 2


def test_a_convicted_operator_does_not_serve(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that is refused for a case is not there for requesters."""
    monkeypatch.setattr("backend.services.leasing.guilty_case", lambda *_: "0x" + "cc" * 32)
    world.order()
    with pytest.raises(OperatorSuspended):
        world.services.leasing.lend(world.ask())
    assert serving(world) == 0
