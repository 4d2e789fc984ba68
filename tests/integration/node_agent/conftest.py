"""One network for all tests of an operator's commands; each has a home of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.node_agent.operator_world import PASSWORD, SETTINGS, World, world


@pytest.fixture(scope="session")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The network."""
    with world(tmp_path_factory.mktemp("net")) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and an environment that says no more than the password."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ASSAY_PASSWORD", PASSWORD)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "node"))
    return tmp_path / "node"
