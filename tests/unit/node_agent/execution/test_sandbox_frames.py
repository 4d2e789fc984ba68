"""What comes out of a confined process that was taken over: no answer in form is an error, and nobody waits for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.protocol.manifest import Manifest
from node_agent.execution.engine import Engine
from node_agent.execution.errors import ExecutorFailed
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox import Executor, client, process, words
from tests.world.processes import states

pytestmark = pytest.mark.process

TAKEN_OVER = """
import hashlib, json, os, struct, subprocess, sys, time
from base64 import urlsafe_b64encode

HEADER = struct.Struct("<BQI")
ABOUT = {"name": "n", "version": "v", "check": "prefill", "concurrent": False, "numeric_class": None, "speed": None}

def say(kind, call, said):
    if isinstance(said, (dict, list)):
        said = json.dumps(said, separators=(",", ":"))
    if isinstance(said, str):
        said = said.encode()
    send(HEADER.pack(kind, call, len(said)) + said)

def send(data):
    while data:
        data = data[os.write(1, data):]

def ran(**changes):
    digest = urlsafe_b64encode(hashlib.sha256(b"").digest()).decode()
    return {"execution": {"output": "AAAAAA==", "trace_hash": digest, "units": 1, "trace": "", **changes}}

def problem(**changes):
    return {"code": "invalid_input", "message": "m", "way_out": "w", "values": {}, **changes}

while header := os.read(0, HEADER.size):
    kind, call, length = HEADER.unpack(header)
    os.read(0, length)
    if kind == 16:
        say(1, call, {"landlock": 1, "namespaces": ""})
    elif kind == 17:
        say(2, call, {"engine": 0, **ABOUT})
    else:
        exec(sys.argv[1])
"""

IN_TIME_S = 60
"""Far below the deadlines of the product, and enough on a machine with much else to do."""

NO_ANSWERS = {
    "no frame": "send(b'no frame, but more bytes than a header has')",
    "no JSON": "say(3, call, 'no json')",
    "no object": "say(3, call, [1])",
    "no UTF-8": "say(3, call, json.dumps(ran()).encode().replace(b'AA', b'A\\xff'))",
    "another call": "say(3, 99, ran())",
    "another kind": "say(4, call, {'observation': ''})",
    "an unknown kind": "say(77, call, ran())",
    "a request": "say(18, call, ran())",
    "too long": "send(HEADER.pack(3, call, 0xFFFFFFFF))",
    "two answers": "say(3, call, ran(units=-1)), say(3, call, ran())",
    "fields missing": "say(3, call, {'execution': {'output': 'AAAAAA=='}})",
    "fields too many": "say(3, call, ran(more=1))",
    "a key twice": "say(3, call, json.dumps(ran(), separators=(',', ':')).replace('\"un', '\"units\":2,\"un'))",
    "white space": "say(3, call, json.dumps(ran()))",
    "infinite units": "say(3, call, ran(units=float('inf')))",
    "units that are no number": "say(3, call, ran(units=float('nan')))",
    "a fraction of a unit": "say(3, call, ran(units=1.0))",
    "a number of 4000 digits": "say(3, call, ran(units=10**4000))",
    "more units than a commitment has room for": "say(3, call, ran(units=2**32))",
    "fewer units than none": "say(3, call, ran(units=-1))",
    "a short trace hash": "say(3, call, ran(trace_hash='AA=='))",
    "a trace hash of something else": "say(3, call, ran(trace='AA=='))",
    "deeply nested": "say(3, call, '[' * 10**6)",
    "deeply nested in form": "say(3, call, '{\"execution\":' * 10**5)",
    "an unknown error": "say(5, call, problem(code='nonsense'))",
    "an error that is this side's to say": "say(5, call, problem(code='executor_failed'))",
    "an error that forges a line of a log": "say(5, call, problem(message='a\\nb'))",
    "an endless error": "say(5, call, problem(message='a' * 10**6))",
}


@pytest.fixture
def taken_over(
    tiny_files: ModelFiles, make_manifest: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Engine]]:
    """Makes an engine whose process does this whenever it is asked to run something."""
    executor = Executor(Path("/"))

    def make(code: str) -> Engine:
        monkeypatch.setattr(client, "_PROGRAM", [sys.executable, "-c", TAKEN_OVER, code])
        return executor.load(tiny_files, make_manifest(tiny_files), "cpu")

    yield make
    executor.close()


@pytest.mark.parametrize("code", NO_ANSWERS.values(), ids=NO_ANSWERS.keys())
def test_nonsense_is_never_taken_for_an_answer(taken_over: Callable[[str], Engine], code: str) -> None:
    """Whatever a process that was taken over says, it is an execution in form or an error: at once. Covers: A69"""
    engine, started = taken_over(code), time.monotonic()
    with pytest.raises(ExecutorFailed, match="sent a frame that"):
        engine.execute(b"", {})
    assert time.monotonic() - started < IN_TIME_S


def test_each_of_them_would_be_an_answer_without_its_fault(taken_over: Callable[[str], Engine]) -> None:
    """The test above would see an answer that is taken: what its process says without a fault is one."""
    assert taken_over("say(3, call, ran())").execute(b"", {}).units == 1


ALIVE = {
    "half a header": "send(b'\\x03'); time.sleep(1000)",
    "half a payload": "send(HEADER.pack(3, call, 1000) + b'{'); time.sleep(1000)",
    "a byte now and then": "send(HEADER.pack(3, call, 10**6)); exec('while True: send(b\"0\"), time.sleep(0.05)')",
    "nothing": "time.sleep(1000)",
    "nothing, and a closed stdout": "os.close(1); time.sleep(1000)",
    "nothing, and a closed stdin": "os.close(0); time.sleep(1000)",
    "nothing, while a child holds stdout": "os.fork() or os.setsid() or time.sleep(1000); os._exit(3)",
    "nothing, while a child writes": "os.fork() or os.setsid() or exec('while True: send(b\"0\" * 99)'); os._exit(3)",
    "nothing, deaf to signals": "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(1000)",
}


@pytest.mark.parametrize("code", ALIVE.values(), ids=ALIVE.keys())
def test_nobody_waits_for_it(taken_over: Callable[[str], Engine], code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it leaves undone, whoever asked has an error in time, and no process of its group is left: the deadlines
    are cut to a second here. Covers: A69"""
    engine = taken_over(code)
    monkeypatch.setattr(process, "MOST_S", 1.0)
    monkeypatch.setattr(process, "FRAME_TIMEOUT_S", 1.0)
    group, started = engine.executor._process.pid, time.monotonic()  # type: ignore[attr-defined]
    with pytest.raises(ExecutorFailed):
        engine.execute(b"", {})
    while states(group):
        assert time.monotonic() - started < IN_TIME_S
        time.sleep(0.01)
    assert time.monotonic() - started < IN_TIME_S


@pytest.mark.parametrize("way_out", ["", "os.setsid(); "], ids=["in its group", "out of its group"])
def test_a_child_ends_with_it(
    taken_over: Callable[[str], Engine], way_out: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where nothing but its group holds its children together (no keeper, no namespaces), they end with it; one that
    left the group holds nobody up, though it holds all pipes. Covers: A69"""
    pipe = subprocess.PIPE
    monkeypatch.setattr(
        process,
        "launch",
        lambda program, needs: subprocess.Popen(
            program, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True
        ),
    )
    child = tmp_path / "child"
    engine = taken_over(
        "if not os.fork():\n"
        f"    {way_out}open({str(child)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(30)\n"
        f"while not os.path.exists({str(child)!r}) or not os.path.getsize({str(child)!r}): pass\n"
        "os._exit(3)"
    )
    group, started = engine.executor._process.pid, time.monotonic()  # type: ignore[attr-defined]
    with pytest.raises(ExecutorFailed, match="exit status 3"):
        engine.execute(b"", {})
    while states(group):
        assert time.monotonic() - started < IN_TIME_S
        time.sleep(0.01)
    assert time.monotonic() - started < IN_TIME_S
    if way_out:
        os.kill(int(child.read_text()), signal.SIGKILL)


def test_its_log_is_bounded(
    taken_over: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects this program's log from a process that floods or forges it: so many bytes a second, each line named as
    its own and printable; the rest is counted. Covers: A69"""
    engine = taken_over("[os.write(2, b'\\x1b[2J forged\\n' * 5000) for _ in range(20)]; say(3, call, ran())")
    monkeypatch.setattr(words, "BYTES_A_SECOND", 1000)
    started = time.monotonic()
    assert engine.execute(b"", {}).units == 1
    engine.executor.close()  # type: ignore[attr-defined]
    seconds = int(time.monotonic() - started) + 2
    said = [record.getMessage() for record in caplog.records]
    assert sum(each.count("forged") for each in said) <= 100 * seconds
    assert all("that runs jobs sa" in each and each.isprintable() for each in said)
    assert any("bytes more, dropped" in each for each in said)


def test_what_does_not_read_is_not_written_to_forever(
    taken_over: Callable[[str], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects who asks with more than a pipe holds from a process that does not read it. Covers: A69"""
    engine = taken_over("time.sleep(1000)")
    monkeypatch.setattr(process, "MOST_S", 1.0)
    started = time.monotonic()
    with pytest.raises(ExecutorFailed, match="hung"):
        engine.execute(bytes(2 << 20), {})
    assert time.monotonic() - started < IN_TIME_S
