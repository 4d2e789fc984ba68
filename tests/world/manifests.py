"""The one manifest of tests: a workload that no real engine serves, with a test's own changes."""

from typing import Any

from contracts.protocol.manifest import Manifest
from tests.world.node_fakes import fake_manifest

EVERY_ROW = {
    "honest_cost_ppm": 1_000_000, "cheat_cost_ppm": 0, "detection_ppm": 1_000_000, "collusion_ppm": 600_000,
    "false_alarm_ppm": 0,
}  # fmt: skip
"""Costs so far apart that the least rate is one: every row is sampled, whatever the seed."""


def manifest(**changes: Any) -> Manifest:
    """`fake_manifest` with other fields."""
    return Manifest.model_validate(fake_manifest().model_dump(mode="json") | changes)


def up_to_tokens(most: int) -> dict[str, Any]:
    """Manifest.params that allow so many new tokens."""
    return {"max_new_tokens": {"minimum": 1, "maximum": most}}
