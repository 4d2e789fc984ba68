"""The price sheet: which workloads are offered and what is asked for them."""

from sqlmodel import Session, col, select

from backend.domain.pricing import UNITS_PARAM, Offer
from backend.errors import Misconfigured, UnknownWorkload
from backend.store.database import Database
from backend.store.tables import WorkloadRow
from contracts.protocol.manifest import Manifest


def offer_workload(database: Database, manifest: Manifest, *, fixed_price: int, unit_price: int, max_units: int) -> str:
    """Puts a workload on the price sheet, or changes its prices there, and returns its id. Prices in units."""
    allowed = manifest.params.get(UNITS_PARAM)
    if allowed is None or allowed.minimum < 0 or not allowed.minimum <= max_units:
        raise Misconfigured(f"the manifest must bound {UNITS_PARAM}, and max_units = {max_units} must lie in its range")
    if min(fixed_price, unit_price) < 0:
        raise Misconfigured(f"prices are not negative: fixed {fixed_price}, per unit {unit_price}")
    row = WorkloadRow(
        workload_id=manifest.workload_id(),
        manifest=manifest.canonical(),
        fixed_price=fixed_price,
        unit_price=unit_price,
        max_units=min(max_units, allowed.maximum),
    )
    with database.begin() as session:
        session.merge(row)
    return row.workload_id


def find_offer(session: Session, workload_id: str) -> Offer:
    """The offer of a workload. Raises UnknownWorkload."""
    row = session.get(WorkloadRow, workload_id)
    if row is None:
        raise UnknownWorkload(workload_id=workload_id)
    return _offer(row)


def all_offers(session: Session) -> list[Offer]:
    """All that is offered, by workload id."""
    return [_offer(row) for row in session.exec(select(WorkloadRow).order_by(col(WorkloadRow.workload_id)))]


def _offer(row: WorkloadRow) -> Offer:
    manifest = Manifest.model_validate_json(row.manifest)
    return Offer(row.workload_id, manifest, row.fixed_price, row.unit_price, row.max_units)
