"""A fresh network on a chain of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.verifier.network import Network, anvil, anvil_binary


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    if anvil_binary() is None:
        pytest.skip("no anvil: put it on the PATH or run npm ci in contracts/")
    with anvil() as url:
        yield Network(url, tmp_path / "log")
