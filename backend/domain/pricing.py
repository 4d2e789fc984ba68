"""The offer of a workload. `contracts.protocol.pricing` has the formula for a job's amount."""

from dataclasses import dataclass

from contracts.protocol.manifest import Manifest


@dataclass(frozen=True)
class Offer:
    """A workload as offered now. Prices in units of the token; a job has at most `max_units` metered units."""

    workload_id: str
    manifest: Manifest
    fixed_price: int
    unit_price: int
    max_units: int
