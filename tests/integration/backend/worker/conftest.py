"""A fresh bench on a chain of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.backend.worker.bench import Bench, anvil


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with anvil() as url:
        yield Bench(url, tmp_path / "home")
