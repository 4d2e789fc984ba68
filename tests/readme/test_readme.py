"""The README's first ten minutes, typed literally into a shell beside a running `assay up`."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.settings import ClientFile
from tests.integration.deploy.terminal import Terminal, environment
from tests.readme.transcript import assert_printed, follow, section, steps

pytestmark = [pytest.mark.chain, pytest.mark.model, pytest.mark.timeout(1500)]

README = Path(__file__).parents[2] / "README.md"
WALKS = ("A requester's", "An operator's", "An auditor's")
TOLD = {"rpc": "http://127.0.0.1:8545", "backend": "http://127.0.0.1:8000"}
"""What README takes `make up` to have printed; another where a port was taken."""


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    found = Terminal(tmp_path_factory.mktemp("reader"))
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.mark.parametrize("whose", WALKS)
def test_first_ten_minutes(terminal: Terminal, whose: str) -> None:
    """Each command of the walk succeeds in the order given and prints what the reader is told to see."""
    text = section(README.read_text(), f"## {whose} first ten minutes")
    network = ClientFile.load(terminal.network)
    for name, url in TOLD.items():
        text = text.replace(url, getattr(network, name))
    todo = steps(text)
    assert len(todo) >= 4
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for step, printed in follow(todo, terminal.folder, environment() | {"PATH": path}, timeout_s=900):
        assert_printed(step, printed)
