"""A coordinator without a chain."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.backend.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One backend, empty but for its price sheet, one prompt and one output."""
    world = World(tmp_path)
    yield world
    world.database.close()
