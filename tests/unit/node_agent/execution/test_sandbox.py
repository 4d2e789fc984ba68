"""The confined process that runs jobs. Input that takes it over finds no network, no key, no program."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.protocol.manifest import Manifest
from node_agent.execution import kinds
from node_agent.execution.engine import Engine
from node_agent.execution.errors import (
    ExecutorFailed,
    InvalidInput,
    InvalidParams,
    NumericClassMismatch,
    SandboxUnavailable,
    UnknownKind,
)
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox import Executor, client, process
from node_agent.execution.sandbox.frames import Cutter
from node_agent.execution.sandbox.messages import ANSWERS, Confine, Failed, Run
from tests.world.prompts import asked

HELLO, PARAMS = asked(["hello"]), {"max_new_tokens": 4}


@pytest.fixture
def executor(tiny_files: ModelFiles) -> Iterator[Executor]:
    """An executor over the folder of the tiny model."""
    made = Executor(tiny_files.weights.parent)
    yield made
    made.close()


@pytest.fixture
def manifest(tiny_files: ModelFiles, make_manifest: Callable[..., Manifest]) -> Manifest:
    return make_manifest(tiny_files)


@pytest.mark.process
def test_it_computes_what_the_engine_computes(executor: Executor, tiny_files: ModelFiles, manifest: Manifest) -> None:
    """Between pipes not a bit changes; names, units and the check are the engine's own."""
    here: Engine = kinds.load(tiny_files, manifest, "cpu")
    there = executor.load(tiny_files, manifest, "cpu")
    assert (there.name, there.version, there.check) == (here.name, here.version, here.check)
    assert there.execute(HELLO, PARAMS) == here.execute(HELLO, PARAMS) == there.recheck(HELLO, PARAMS, b"nonsense")


@pytest.mark.process
def test_errors_come_through_as_what_they_are(
    executor: Executor, tiny_files: ModelFiles, manifest: Manifest, make_manifest: Callable[..., Manifest]
) -> None:
    """Whoever handles an engine's errors need not know where it runs."""
    engine = executor.load(tiny_files, manifest, "cpu")
    with pytest.raises(InvalidInput, match="begins with a count"):
        engine.execute(b"\xff\x00", PARAMS)
    with pytest.raises(InvalidParams, match="out of range"):
        engine.execute(HELLO, {"max_new_tokens": 41})
    with pytest.raises(UnknownKind, match="translation"):
        executor.load(tiny_files, make_manifest(tiny_files, kind="translation"), "cpu")
    with pytest.raises(NumericClassMismatch):
        executor.load(tiny_files, make_manifest(tiny_files, numeric_class="0" * 64), "cpu")
    assert engine.execute(HELLO, PARAMS).units > 0


@pytest.mark.process
def test_it_is_told_no_secret(
    executor: Executor, tiny_files: ModelFiles, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No password nor any other variable of Assay's is in its environment, but for how it may compute, and no file of
    ours is open. Covers: A50"""
    monkeypatch.setenv("ASSAY_PASSWORD", "opens the key")
    monkeypatch.setenv("ASSAY_THREADS", "1")
    executor.load(tiny_files, manifest, "cpu")
    process = Path(f"/proc/{_process_of(executor)}")
    names = {each.partition(b"=")[0] for each in (process / "environ").read_bytes().split(b"\0")}
    assert {name for name in names if b"ASSAY" in name} <= {b"ASSAY_THREADS", b"ASSAY_KERNELS"}
    assert b"opens the key" not in (process / "environ").read_bytes()
    opened = [os.readlink(each) for each in (process / "fd").iterdir()]
    assert not [path for path in opened if path.startswith("socket:") or path.endswith((".json", ".sqlite"))]


@pytest.mark.process
def test_a_dead_process_is_replaced(executor: Executor, tiny_files: ModelFiles, manifest: Manifest) -> None:
    """An input that kills it costs its own job and no other; the next is answered as before. Covers: A50"""
    engine = executor.load(tiny_files, manifest, "cpu")
    before = engine.execute(HELLO, PARAMS)
    os.killpg(_process_of(executor), signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(engine.execute, HELLO, PARAMS)
        _wait_for(lambda: len(executor._process._calls) == 1)  # type: ignore[union-attr]
        os.kill(_process_of(executor), signal.SIGKILL)
        with pytest.raises(ExecutorFailed, match="-9"):
            under_way.result(30)
    assert engine.execute(HELLO, PARAMS) == before


@pytest.mark.process
def test_a_process_that_hangs_is_replaced(
    executor: Executor, tiny_files: ModelFiles, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited too long has an error, and the next call a process that answers. Covers: A50"""
    engine = executor.load(tiny_files, manifest, "cpu")
    before = engine.execute(HELLO, PARAMS)
    os.killpg(_process_of(executor), signal.SIGSTOP)
    monkeypatch.setattr(process, "MOST_S", 0.1)
    with pytest.raises(ExecutorFailed, match="hung"):
        engine.execute(HELLO, PARAMS)
    monkeypatch.undo()
    assert engine.execute(HELLO, PARAMS) == before


UNCONFINED = """
import node_agent.execution.sandbox.executor as executor
from node_agent.execution.errors import SandboxUnavailable

def confine(readable):
    raise SandboxUnavailable("This kernel cannot.", way_out="Use another.")

executor.confine = confine
executor.main()
"""


def test_a_process_that_cannot_be_confined_runs_nothing() -> None:
    """It says why and ends, whatever it is asked after that. Covers: A50"""
    confine = Confine(models=(), torch=False, gpu=False).frame(0)
    run = Run(engine=0, work="execute", input=b"", params={}).frame(1)
    command = [sys.executable, "-c", UNCONFINED]
    done = subprocess.run(command, input=bytes(confine) + bytes(run), stdout=subprocess.PIPE, env=_with_path())
    (said,) = Cutter(ANSWERS).cut(done.stdout)
    assert Failed.read(said.payload).code == "sandbox_unavailable"
    assert done.returncode == 0


@pytest.mark.process
def test_a_process_that_is_not_confined_is_never_asked_again(
    executor: Executor, tiny_files: ModelFiles, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the next call either: each begins with a new process that has to be confined first. Covers: A50"""
    started, start = [], client.Process
    monkeypatch.setattr(client, "_PROGRAM", [sys.executable, "-c", UNCONFINED])
    monkeypatch.setattr(client, "Process", lambda *told: started.append(start(*told)) or started[-1])
    for _ in range(2):
        with pytest.raises(SandboxUnavailable):
            executor.load(tiny_files, manifest, "cpu")
        assert executor._process is None
    assert len({process.pid for process in started}) == 2
    assert all(process.is_over for process in started)


def _process_of(executor: Executor) -> int:
    assert executor._process is not None
    return executor._process.pid


def _wait_for(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not done():
        assert time.monotonic() < until
        time.sleep(0.01)


def _with_path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
