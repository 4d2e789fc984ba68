"""What a job may cost at most under the price sheet. The amount itself is `contracts.protocol.pricing`'s formula."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.protocol.manifest import Manifest

UNITS_PARAM = "max_new_tokens"
"""The parameter of a generation workload that bounds the units of a job."""


@dataclass(frozen=True)
class Offer:
    """A workload as it is offered now. Prices in units of the token; a job has at most `max_units` of metering."""

    workload_id: str
    manifest: Manifest
    fixed_price: int
    unit_price: int
    max_units: int


def most_units(params: Mapping[str, int]) -> int:
    """The most units of metering that a job with these parameters can use."""
    return params[UNITS_PARAM]
