"""Frames drawn at random, from a confined process that was taken over to the side that holds the keys."""

import hashlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pytest

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack, packed_root
from node_agent.execution.engine import Engine, Execution
from node_agent.execution.errors import ExecutionError, ExecutorFailed
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox import Executor, client, process
from node_agent.execution.sandbox.calls import Calls
from node_agent.execution.sandbox.frames import BadFrame
from node_agent.execution.sandbox.messages import Failed, Message, Observed, Ran
from tests.world import hostile_frames as hostile
from tests.world.soak import keep_fuzzed, short_or_long

FRAMES = short_or_long(10_000, 1_000_000)
HOSTILE_JOBS = short_or_long(20, 4_000)
FRAME_MOST_S = 1.0
"""Of this thread's CPU, for one frame."""


def test_no_frame_is_taken_for_an_answer_but_one() -> None:
    """Protects the side that holds the keys: whatever a frame is, it is refused as a BadFrame, or it is one spelling of
    one answer that somebody waits for, within all its bounds. Calls that were answered before keep their answers, all
    others still wait, none is answered twice. Covers: A69"""
    taken = refused = 0
    slowest = 0.0
    for seed in range(FRAMES):
        draw = Random(seed)
        calls, stream = Calls(), hostile.frame(draw)
        calls._numbers = iter(range(hostile.CALL - 1, 2**64))  # type: ignore[assignment]
        before, target, other = (calls.add(calls.number(), kind) for kind in (Ran, Ran, Observed))
        honest = Ran(execution=Execution(pack([[1]]), hashlib.sha256(b"").digest(), 1))
        stream = bytes(honest.frame(hostile.CALL - 1)) + stream
        started = time.thread_time()
        try:
            for piece in hostile.pieces(draw, stream):
                calls.take(piece)
        except BadFrame:
            refused += 1
        slowest = max(slowest, time.thread_time() - started)
        assert before.result(0) == honest, seed
        answered = [each for each in (target, other) if each.done()]
        assert len(calls) == 2 - len(answered), seed
        for each in answered:
            taken += 1
            assert_in_bounds(each.result(0), stream)
    assert taken > FRAMES // 50, "the frames are too bad to reach what is behind the header"
    assert refused > FRAMES // 2
    assert slowest < FRAME_MOST_S
    keep_fuzzed(frames_fuzzed=FRAMES, frames_refused=refused, frames_slowest_ms=math.ceil(slowest * 1000))


def assert_in_bounds(said: Message, stream: bytes) -> None:
    """What was taken for an answer is in the stream, byte for byte, and holds nothing that could hurt."""
    assert said.model_dump_json().encode() in stream
    if isinstance(said, Ran):
        assert type(said.execution.units) is int
        assert 0 <= said.execution.units < 2**32
        digest = hashlib.sha256(said.execution.trace).digest() if said.execution.trace else bytes(32)
        assert len(said.execution.trace_hash) == 32
        assert digest in (said.execution.trace_hash, bytes(32))
        assert packed_root(said.execution.output)
    elif isinstance(said, Failed):
        error = said.error()
        assert isinstance(error, ExecutionError)
        assert not isinstance(error, ExecutorFailed)
        assert str(error).isprintable()
        assert len(str(error)) <= 2100
        assert all(len(value) <= 1000 for value in error.values.values())  # type: ignore[arg-type]
    else:
        assert isinstance(said, Observed)


TAKEN_OVER = """
import hashlib, json, os, struct, sys, time
from base64 import urlsafe_b64decode, urlsafe_b64encode

HEADER, MARK = struct.Struct("<BQI"), bytes.fromhex(sys.argv[1])
LOADED = '{"engine":0,"name":"n","version":"v","check":"prefill","concurrent":true,"numeric_class":null,"speed":null}'

def say(kind, call, said):
    os.write(1, HEADER.pack(kind, call, len(said)) + said.encode())

def whole(length):
    found = b""
    while len(found) < length:
        found += os.read(0, length - len(found)) or sys.exit()
    return found

while True:
    kind, call, length = HEADER.unpack(whole(HEADER.size))
    asked = json.loads(whole(length))
    if kind == 16:
        say(1, call, '{"landlock":1,"namespaces":""}')
    elif kind == 17:
        say(2, call, LOADED)
    elif (text := urlsafe_b64decode(asked["input"])).startswith(b"evil"):
        data = text[4:].replace(MARK, call.to_bytes(8, "little"))
        while data:
            data = data[os.write(1, data):]
    else:
        digest = urlsafe_b64encode(hashlib.sha256(text).digest()).decode()
        say(3, call, json.dumps({"execution": {"output": asked["input"], "trace_hash": digest, "units": 1,
            "trace": asked["input"]}}, separators=(",", ":")))
"""
"""Echoes, but for jobs whose input is what it then writes instead of an answer."""


@pytest.fixture
def engine(
    tiny_files: ModelFiles, make_manifest: Callable[..., Manifest], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """An engine in a process that writes whatever its input says. Deadlines are short."""
    mark = hostile.CALL.to_bytes(8, "little").hex()
    monkeypatch.setattr(client, "_PROGRAM", [sys.executable, "-S", "-c", TAKEN_OVER, mark])
    monkeypatch.setattr(process, "MOST_S", 2.0)
    monkeypatch.setattr(process, "FRAME_TIMEOUT_S", 0.5)
    executor = Executor(Path("/"))
    yield executor.load(tiny_files, make_manifest(tiny_files), "cpu")
    executor.close()


@pytest.mark.process
@pytest.mark.timeout(3600)
def test_no_other_job_is_lost(engine: Engine) -> None:
    """Protects the jobs beside one that takes the process over and makes it write at random: each has its own answer,
    and whoever asked for that one has an answer or an error in time. Covers: A69"""
    lost = []
    with ThreadPoolExecutor(4) as pool:
        for number in range(HOSTILE_JOBS):
            started = time.monotonic()
            evil = pool.submit(engine.execute, b"evil" + hostile.frame(Random(number)), {})
            honest = [pool.submit(engine.execute, pack([[number, each]]), {}) for each in range(3)]
            for each, call in enumerate(honest):
                assert call.result(30).output == pack([[number, each]])
            if evil.exception(30) is not None:
                assert isinstance(evil.exception(), ExecutionError)
                lost.append(evil)
            assert time.monotonic() - started < 60
    assert len(lost) > HOSTILE_JOBS // 2
    keep_fuzzed(hostile_jobs=HOSTILE_JOBS, hostile_jobs_failed=len(lost))
