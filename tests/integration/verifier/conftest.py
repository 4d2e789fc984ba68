"""A fresh network on a founded chain of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.verifier.network import Network, network_of


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with network_of(tmp_path / "log") as made:
        yield made
