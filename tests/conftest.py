"""What all tests share: the folder in which this run keeps its founded chains."""

import os

import pytest

from tests.world import run


@pytest.fixture(scope="session", autouse=True)
def founded_chains(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One folder a run: the processes of pytest-xdist have their own base folders below it."""
    base = tmp_path_factory.getbasetemp()
    run.keep_in((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "founded")
