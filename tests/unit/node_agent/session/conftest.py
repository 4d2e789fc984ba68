"""Fixtures of the session's tests."""

from pathlib import Path

import pytest

from tests.unit.node_agent.session.session_world import MakeWorld, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One node, one backend, no jobs."""
    return World(tmp_path)


@pytest.fixture
def make_world(tmp_path_factory: pytest.TempPathFactory) -> MakeWorld:
    """A fresh world at each call, for property tests."""
    return lambda: World(tmp_path_factory.mktemp("node"))
