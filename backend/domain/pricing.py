"""What is offered at which price. The amount of a job is `contracts.protocol.pricing`'s formula."""

from dataclasses import dataclass

from contracts.protocol.manifest import Manifest


@dataclass(frozen=True)
class Offer:
    """A workload as it is offered now. Prices in units of the token; a job has at most `max_units` of metering."""

    workload_id: str
    manifest: Manifest
    fixed_price: int
    unit_price: int
    max_units: int
