"""What all tests share: how many examples a property gets, and the folder of this run's founded chains."""

import gc
import os

import pytest
from hypothesis import settings

from tests.world import run
from tests.world.soak import short_or_long

settings.register_profile("assay", max_examples=short_or_long(30, 300))
settings.load_profile("assay")


def pytest_collection_finish() -> None:
    """What was imported lives to the end, and walking it again and again took a sixth of all CPU time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(scope="session", autouse=True)
def founded_chains(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder a run: the processes of pytest-xdist have their own base folders below it."""
    base = tmp_path_factory.getbasetemp()
    run.keep_in((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "founded")
