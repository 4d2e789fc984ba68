"""Which nodes serve a workload now, by their requests for work and heartbeats, and in which session.

One row per node and workload, so that the query's cost does not grow with the number of jobs. A row is updated at most
every NOTED_EVERY_S. Presence is no promise: a node that asked a minute ago may be gone.
"""

from sqlalchemy import func, update
from sqlmodel import Session, col, select

from backend.errors import NodeElsewhere
from backend.store.tables import PresenceRow
from contracts.protocol.wire import SERVING_WINDOW_S, LeaseRequest

NOTED_EVERY_S = 15
"""Saves durable writes; short beside SERVING_WINDOW_S."""


def require_one_place(session: Session, asked: LeaseRequest, now_s: int) -> None:
    """Raises NodeElsewhere if another session with the same key asked within the window.

    Two sessions of one key could sign two answers to one order, for which the operator is slashed.
    """
    if asked.session is None:
        return
    other = session.exec(
        select(PresenceRow)
        .where(PresenceRow.node == asked.request.node, col(PresenceRow.asked_at) > now_s - SERVING_WINDOW_S)
        .where(col(PresenceRow.session).is_not(None), PresenceRow.session != asked.session)
        .order_by(col(PresenceRow.asked_at).desc())
        .limit(1)
    ).first()
    if other is not None:
        raise NodeElsewhere(node=asked.request.node, ago_s=now_s - other.asked_at, window_s=SERVING_WINDOW_S)


def note_asked(session: Session, asked: LeaseRequest, now_s: int) -> None:
    """Notes that a node asked for a job of a workload."""
    row = session.get(PresenceRow, (asked.workload_id, asked.request.node))
    if row is None:
        row = PresenceRow(workload_id=asked.workload_id, node=asked.request.node, asked_at=0)
    if row.asked_at > now_s - NOTED_EVERY_S and row.session == asked.session:
        return
    row.asked_at, row.session = now_s, asked.session
    session.add(row)


def note_alive(session: Session, node: str, now_s: int) -> None:
    """Notes a heartbeat. It counts for every workload that the node asked for: it will ask again after this job."""
    session.exec(
        update(PresenceRow)
        .where(col(PresenceRow.node) == node)
        .where(col(PresenceRow.asked_at) > now_s - SERVING_WINDOW_S, col(PresenceRow.asked_at) <= now_s - NOTED_EVERY_S)
        .values(asked_at=now_s)
    )


def serving(session: Session, now_s: int) -> dict[str, int]:
    """The number of nodes that asked for work within the window, by workload id."""
    query = (
        select(PresenceRow.workload_id, func.count())
        .where(col(PresenceRow.asked_at) > now_s - SERVING_WINDOW_S)
        .group_by(col(PresenceRow.workload_id))
    )
    return dict(session.exec(query).all())
