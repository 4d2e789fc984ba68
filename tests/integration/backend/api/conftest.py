"""One coordinator a module: its tests use lanes and orders of their own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account

from tests.integration.backend.api.coordinator import KEYS, PASSWORD, Coordinator, coordinator


@pytest.fixture
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coordinator]:
    """A coordinator on a chain of its own."""
    with coordinator(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def environment(running: Coordinator, tmp_path: Path) -> dict[str, str]:
    """A requester's folder and the options that it reads."""
    key = Account.encrypt(KEYS["alice"].private_key(), PASSWORD, iterations=2)
    (tmp_path / "requester.json").write_text(json.dumps(key))
    running.chain.deployment.save(tmp_path / "deployment.json")
    return {
        "ASSAY_HOME": str(tmp_path),
        "ASSAY_RPC": running.chain.w3.url,
        "ASSAY_DEPLOYMENT": str(tmp_path / "deployment.json"),
        "ASSAY_BACKEND": running.url,
        "ASSAY_PASSWORD": PASSWORD,
        "COLUMNS": "200",
    }
