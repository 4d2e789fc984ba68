"""A fresh bench on a founded chain of its own, without and with a court."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.backend.worker.bench import PLAN, Bench
from tests.integration.backend.worker.court import COURT, Court
from tests.world.founded import founded


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with founded(PLAN) as chain:
        yield Bench(chain.url, chain.deployment, tmp_path / "home")


@pytest.fixture
def court(tmp_path: Path) -> Iterator[Court]:
    with founded(COURT) as chain:
        yield Court(Bench(chain.url, chain.deployment, tmp_path / "home"))
