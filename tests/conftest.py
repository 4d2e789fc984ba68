"""What all tests share: how many examples a property gets, and the folder of this run's founded chains."""

import gc
import os
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from contracts.protocol.tokens import TextTokenizer
from tests.world import run
from tests.world.soak import short_or_long

if TYPE_CHECKING:
    from playwright.sync_api import Browser

if shutil.which("nvidia-smi") is None:  # read when Triton is imported: its kernels then run on the CPU
    os.environ["TRITON_INTERPRET"] = "1"

settings.register_profile("assay", max_examples=short_or_long(30, 300), deadline=None)  # a busy machine is no defect
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


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """The one that all tests of a process share: Playwright starts once in a process."""
    from tests.world.chromium import chromium

    with chromium() as launched:
        yield launched


@pytest.fixture(autouse=True)
def _backends_cut_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends inside a test's own process run its tokenizer there, which it trusts: a confined process takes most of a
    second to start. Tests of that process are marked `confined`, and backends with a process of their own confine."""
    module = sys.modules.get("backend.store.tokenizers")
    if module is not None and request.node.get_closest_marker("confined") is None:
        monkeypatch.setattr(module.ConfinedTokenizer, "encode", lambda it, text: _read(it.path, it.sha256).encode(text))


@cache
def _read(path: Path, sha256: str) -> TextTokenizer:
    return TextTokenizer(path.read_bytes(), sha256)
