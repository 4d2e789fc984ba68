"""One coordinator a module: its tests use lanes and orders of their own."""

from collections.abc import Iterator

import pytest

from tests.integration.backend.api.coordinator import Coordinator, coordinator


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """A coordinator on a chain of its own."""
    with coordinator(tmp_path_factory.mktemp("home")) as found:
        yield found
