"""Orders answered together: byte for byte what each gets alone, whatever its company does."""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.protocol.manifest import Manifest
from node_agent.execution.engine import Batching, Engine, Execution
from node_agent.execution.errors import (
    AnswerTooLong,
    ExecutionError,
    ExecutorFailed,
    InvalidInput,
    InvalidParams,
    OutOfMemory,
)
from node_agent.execution.exact import engine as engine_module
from node_agent.execution.exact.llama.engine import ExactGeneration, OrderBatch
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.sandbox import Executor, client
from tests.world.prompts import asked

Order = tuple[bytes, Mapping[str, int]]

LONG, SHORT = asked(["Tell me all of it."] * 4), asked(["Hi"])


def params(tokens: int, seed: int = 0) -> dict[str, int]:
    """Sampled, so that an order's draws would show any mix-up."""
    return {"max_new_tokens": tokens, "temperature_milli": 900, "top_p_ppm": 950_000, "seed": seed}


ORDERS = st.tuples(
    st.lists(st.text("abc?", min_size=1, max_size=30), min_size=1, max_size=3).map(asked),
    st.builds(params, st.integers(1, 12), st.integers(0, 9)),
)


def drained(batch: OrderBatch) -> dict[int, Execution | ExecutionError]:
    """Everything that comes out of a batch."""
    found: dict[int, Execution | ExecutionError] = {}
    while batch.busy:
        found |= batch.step()
    return found


def test_the_exact_engine_batches(engine: ExactGeneration) -> None:
    """Protects the wiring: what the executor looks for is there."""
    assert isinstance(engine, Batching)


@given(orders=st.lists(st.tuples(ORDERS, st.integers(0, 6)), min_size=1, max_size=5))
@settings(max_examples=20)
def test_company_changes_no_byte(engine: ExactGeneration, orders: list[tuple[Order, int]]) -> None:
    """Protects honest nodes that fill a GPU: orders of any texts, lengths and seeds, each joining some steps after the
    one before, have the output, trace hash and units that each has alone. Covers: A09"""
    batch, found = engine.new_batch(), {}
    for key, (order, steps) in enumerate(orders):
        batch.join(key, *order)
        for _ in range(steps):
            found |= batch.step() if batch.busy else []
    found |= drained(batch)
    assert found == {key: engine.execute(*order) for key, (order, _) in enumerate(orders)}


def test_each_is_answered_as_soon_as_it_is_done(engine: ExactGeneration) -> None:
    """Protects requesters of short answers: they do not wait for the longest in the batch."""
    alone = {tokens: engine.execute(SHORT, params(tokens)).units for tokens in (12, 3, 7)}
    batch, step, done = engine.new_batch(), 0, {}
    for tokens in alone:  # nobody waits for a beginning: it was read above
        batch.join(tokens, SHORT, params(tokens))
    while batch.busy:
        step += 1
        done |= {key: step for key, _ in batch.step()}
    assert [done[key] for key in (3, 7, 12)] == sorted(done.values())
    assert {key: step - done[3] for key, step in done.items()} == {key: alone[key] - alone[3] for key in alone}


def test_what_cannot_run_does_not_join(engine: ExactGeneration) -> None:
    """Protects the others from poison: input and parameters are looked at before anything is shared. Covers: A58"""
    batch = engine.new_batch()
    batch.join(0, SHORT, params(5))
    with pytest.raises(InvalidInput):
        batch.join(1, b"[1]", params(5))
    with pytest.raises(InvalidParams):
        batch.join(2, SHORT, params(41))
    assert drained(batch) == {0: engine.execute(SHORT, params(5))}


def test_an_answer_too_long_is_its_own_error(engine: ExactGeneration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the others: an answer that nobody could show costs its own job alone."""
    alone = engine.execute(SHORT, params(3))

    def no_long_ones(output: bytes) -> None:
        if len(output) > len(alone.output) + 40:
            raise AnswerTooLong("Too long.", way_out="Ask for less.")

    monkeypatch.setattr(engine_module, "require_showable", no_long_ones)
    batch = engine.new_batch()
    batch.join(0, LONG, params(6))
    batch.join(1, SHORT, params(3))
    found = drained(batch)
    assert isinstance(found[0], AnswerTooLong)
    assert found[1] == alone


def test_no_room_for_one_more(engine: ExactGeneration, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects jobs under way from one more than fits: it is refused whole, nothing of it stays in the batch."""
    batch, caches = engine.new_batch(), count()
    batch.join(0, SHORT, params(5))
    room = engine.model.new_cache

    def until_full(positions: int) -> object:
        if next(caches) == 2:
            raise MemoryError
        return room(positions)

    monkeypatch.setattr(engine.model, "new_cache", until_full)
    with pytest.raises(OutOfMemory, match="beside 1 under way"):
        batch.join(1, LONG, params(5))
    monkeypatch.undo()
    assert len(batch._batch.running) == 1
    assert drained(batch) == {0: engine.execute(SHORT, params(5))}


@pytest.fixture
def executor(files: ModelFiles, tiny_files: ModelFiles) -> Iterator[Executor]:
    """A confined process that may read the exact and the float model."""
    made = Executor(Path(os.path.commonpath([files.weights, tiny_files.weights])))
    yield made
    made.close()


@pytest.fixture
def there(executor: Executor, files: ModelFiles, manifest: Manifest) -> Engine:
    """The engine, in the confined process."""
    return executor.load(files, manifest, "cpu")


@pytest.mark.process
def test_the_executor_answers_many_at_once(engine: ExactGeneration, there: Engine) -> None:
    """Protects the node: calls from several threads each have their own answer, the very bytes of the engine alone;
    those that fail have their own error; a short one overtakes the long one that came first. Covers: A09, A58"""
    assert there.concurrent
    orders = [(asked([f"Question {seed}"] * (1 + seed % 3)), params(2 + 3 * seed, seed)) for seed in range(6)]
    ended: list[str] = []
    with ThreadPoolExecutor(10) as pool:
        long, short = (pool.submit(there.execute, text, params(n)) for text, n in ((LONG, 40), (SHORT, 1)))
        long.add_done_callback(lambda _: ended.append("long"))
        short.add_done_callback(lambda _: ended.append("short"))
        bad = [pool.submit(there.execute, b"[1]", params(3)), pool.submit(there.execute, SHORT, params(41))]
        found = [pool.submit(there.execute, *order) for order in orders]
        with pytest.raises(InvalidInput):
            bad[0].result(60)
        with pytest.raises(InvalidParams):
            bad[1].result(60)
        assert [each.result(60) for each in found] == [engine.execute(*order) for order in orders]
        assert long.result(60) == engine.execute(LONG, params(40))
        assert short.result(60) == engine.execute(SHORT, params(1))
    assert ended == ["short", "long"]


@pytest.mark.process
def test_checks_and_other_engines_go_in_between(
    engine: ExactGeneration,
    executor: Executor,
    there: Engine,
    tiny_files: ModelFiles,
    make_manifest: Callable[..., Manifest],
) -> None:
    """Protects a host that verifies, or serves a float workload too, while a batch runs: each gets what it asked."""
    floats = executor.load(tiny_files, make_manifest(tiny_files), "cpu")
    assert not floats.concurrent
    alone, done = floats.execute(SHORT, {"max_new_tokens": 3}), engine.execute(SHORT, params(5))
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(there.execute, LONG, params(40))
        assert floats.execute(SHORT, {"max_new_tokens": 3}) == alone
        assert there.recheck(SHORT, params(5), done.output) == done
        assert there.recheck(SHORT, params(5), b"nonsense") == done
        assert long.result(60) == engine.execute(LONG, params(40))


@pytest.mark.process
def test_an_order_that_kills_the_process_costs_no_other(
    engine: ExactGeneration,
    executor: Executor,
    files: ModelFiles,
    manifest: Manifest,
    make_deadly: Callable[[bytes], list[client.Process]],
) -> None:
    """Protects what an operator earns from a poisonous job: the process crashes over it in the middle of a batch, and
    again when it is tried alone. It fails, and the others have the very bytes that each has alone. Covers: A50, A58"""
    poison = asked(["poison"])
    started = make_deadly(poison)
    there = executor.load(files, manifest, "cpu")
    orders = [(asked([f"Question {seed}"] * 4), params(40, seed)) for seed in range(3)]
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(there.execute, *order) for order in orders]
        killer = pool.submit(there.execute, poison, params(3))
        with pytest.raises(ExecutorFailed, match="exit status -11"):
            killer.result(60)
        assert [each.result(60) for each in found] == [engine.execute(*order) for order in orders]
    assert there.execute(*orders[0]) == engine.execute(*orders[0])
    assert [process._popen.poll() for process in started if process.is_over] == [-11, -11]
    assert len(started) == 3
