"""Which verdicts are paid: the first opened verdict on each row that the sample picked (SPEC section 9)."""

from dataclasses import dataclass

from sqlmodel import Session, col, select

from backend.domain.epochs import RowCandidate
from backend.services.record import PublicRecord
from backend.store import facts
from backend.store.chain_tables import LoggedFactRow
from backend.store.record import VERDICT_FACT
from backend.store.tables import LeafRow, VerdictRow
from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import Row


@dataclass(frozen=True)
class NewVerdicts:
    """Verdicts that no log has yet and whose row's sample is known. `payable`: those to be paid, by their digest."""

    verdicts: list[VerdictRow]
    payable: dict[bytes, RowCandidate]


def new_verdicts(session: Session, record: PublicRecord, treasury: str, treasury_signer: str) -> NewVerdicts:
    """The verdicts that the next epoch may log."""
    found = NewVerdicts([], {})
    for verdict in _unlogged(session):
        leaf = session.exec(select(LeafRow).where(LeafRow.digest == verdict.commitment_digest)).first()
        if leaf is None or not is_revealed(session, leaf.epoch_id):
            continue
        found.verdicts.append(verdict)
        if verdict.opening_json is None or _is_paid(session, verdict) or _is_paid_now(found, verdict):
            continue
        drawn = record.drawn(session, leaf)
        if drawn is not None and drawn.sampled:
            digest, price = from_hex(verdict.digest), drawn.row.manifest.check_price_units
            row = Row(treasury, treasury_signer, verdict.operator_id, price, digest)
            found.payable[digest] = RowCandidate(row, "check", verdict.received_at)
    return found


def is_revealed(session: Session, epoch_id: int) -> bool:
    """Whether an epoch's sample is known by confirmed events."""
    return len(facts.posts(session, [epoch_id, epoch_id + 1])) == 2


def _unlogged(session: Session) -> list[VerdictRow]:
    fact = VERDICT_FACT + col(VerdictRow.digest)
    query = select(VerdictRow).outerjoin(LoggedFactRow, col(LoggedFactRow.fact) == fact)
    query = query.where(col(LoggedFactRow.fact).is_(None))
    return list(session.exec(query.order_by(col(VerdictRow.received_at), col(VerdictRow.digest))))


def _is_paid(session: Session, verdict: VerdictRow) -> bool:
    """Whether a verdict on the same row was paid in a closed epoch."""
    query = (
        select(VerdictRow.digest)
        .join(LeafRow, col(LeafRow.digest) == VerdictRow.digest)
        .where(VerdictRow.commitment_digest == verdict.commitment_digest)
    )
    return session.exec(query).first() is not None


def _is_paid_now(found: NewVerdicts, verdict: VerdictRow) -> bool:
    earlier = (one for one in found.verdicts if one.commitment_digest == verdict.commitment_digest)
    return any(from_hex(one.digest) in found.payable for one in earlier)
