"""Generating, checking and tracing: the same in any company, and a checker sees every wrong token."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from node_agent.execution.exact.decoding import DecodingBatch, DecodingRun, DecodingTask, generate, recheck
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.products import by_name
from node_agent.execution.exact.model_file import Parameters
from node_agent.execution.exact.sampling import ExactSampling
from node_agent.execution.exact.trace import (
    CHUNK_POSITIONS,
    DIGEST_BYTES,
    TRACE_TAG,
    TextTrace,
    encode,
    first_difference,
    place,
    trace_hash,
)

WARM = ExactSampling(temperature_milli=800, top_p_ppm=900_000, seed=bytes(range(32)))


@pytest.fixture(scope="module")
def model(tiny: Parameters) -> EagerLlama:
    """The tiny model on the CPU."""
    return EagerLlama(tiny, by_name("int8"), torch.device("cpu"))


def task(text: int = 0, **changes: object) -> DecodingTask:
    fields = {"prompt": [5 + text, 9, 44, 2][: 1 + text % 4], "limit": 20, "stops": frozenset({17}), "text": text}
    return DecodingTask(**(fields | changes))  # type: ignore[arg-type]


def facts(run: DecodingRun) -> tuple[list[int], list[bytes]]:
    return run.chosen, run.trace.chunks()


@pytest.mark.parametrize("sampling", [ExactSampling(), WARM], ids=["greedy", "sampled"])
def test_company_changes_nothing(model: EagerLlama, sampling: ExactSampling) -> None:
    """Texts that join late, leave early and differ in length get the tokens and traces that each gets alone."""
    tasks = [task(text, sampling=sampling, limit=9 + 5 * text) for text in range(4)]
    batch = DecodingBatch(model)
    runs = []
    for each in tasks:  # one joins every third step
        runs.append(batch.join(each))
        for _ in range(3):
            batch.step()
    while batch.running:
        batch.step()
    assert [facts(run) for run in runs] == [facts(generate(model, [each])[0]) for each in tasks]


@pytest.mark.parametrize("sampling", [ExactSampling(), WARM], ids=["greedy", "sampled"])
@pytest.mark.parametrize("text", range(4))
def test_one_pass_checks_a_generation(model: EagerLlama, sampling: ExactSampling, text: int) -> None:
    """A verifier's teacher-forced pass derives tokens and trace of the step-by-step generation."""
    (run,) = generate(model, [task(text, sampling=sampling, prompt=[7, 8] * 40 + [text], limit=15)])
    found = recheck(model, run.task, run.chosen)
    assert found is not None
    assert facts(found) == facts(run)


def test_wrong_answers_are_seen(model: EagerLlama) -> None:
    """Any wrong token, a missing end, and tokens after the end."""
    (run,) = generate(model, [task(1, stops=frozenset())])
    for index, token in enumerate(run.chosen):
        other = [*run.chosen[:index], (token + 1) % 61, *run.chosen[index + 1 :]]
        assert recheck(model, run.task, other) is None
    assert recheck(model, run.task, run.chosen[:-1]) is None
    assert recheck(model, run.task, []) is None
    assert recheck(model, run.task, [*run.chosen, 0]) is None
    stopping = task(1, stops=frozenset({run.chosen[5]}))
    assert recheck(model, stopping, run.chosen) is None


def test_stop_and_limit(model: EagerLlama) -> None:
    """An answer ends with its stop token or at the limit."""
    (whole,) = generate(model, [task(stops=frozenset())])
    assert len(whole.chosen) == 20
    stop = whole.chosen[6]
    (stopped,) = generate(model, [task(stops=frozenset({stop}))])
    assert stopped.chosen == whole.chosen[: whole.chosen.index(stop) + 1]


def test_first_divergence_is_located(model: EagerLlama, tiny: Parameters) -> None:
    """One changed weight shows, and a changed token shows in its chunk and not before."""
    length = 3 * CHUNK_POSITIONS
    (run,) = generate(model, [task(stops=frozenset(), limit=length)])
    (other,) = generate(model, [task(stops=frozenset(), limit=length, sampling=WARM)])
    parting = next(index for index, pair in enumerate(zip(run.chosen, other.chosen, strict=True)) if len(set(pair)) > 1)
    # the logits at the parting are still equal, those after it are not
    shown, theirs = encode([run.trace]), encode([other.trace])
    chunk = first_difference(shown, theirs)
    assert chunk == (parting + 1) // CHUNK_POSITIONS
    assert place(chunk, [length]) == (0, range(chunk * CHUNK_POSITIONS, (chunk + 1) * CHUNK_POSITIONS))
    assert first_difference(shown, shown) is None
    assert first_difference(shown, shown[:-DIGEST_BYTES]) == 2


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_a_chunk_has_one_place(rows: list[int]) -> None:
    """The chunks of an encoded trace cover every row of every text once, in order, and nothing beyond."""
    traces = [TextTrace(text) for text in range(len(rows))]
    for trace, count in zip(traces, rows, strict=True):
        for _ in range(count):
            trace.update(np.zeros(1, np.int32))
    chunks = len(encode(traces)[len(TRACE_TAG) :]) // DIGEST_BYTES
    places = [place(chunk, rows) for chunk in range(chunks)]
    covered = [(found[0], row) for found in places if found is not None for row in found[1]]
    assert covered == [(text, row) for text, count in enumerate(rows) for row in range(count)]
    assert place(chunks, rows) is None


def test_trace_covers_every_logit(model: EagerLlama) -> None:
    """A change of one in one logit gives another trace hash; so does another text index."""
    (run,) = generate(model, [task()])
    (elsewhere,) = generate(model, [task(1, prompt=run.task.prompt)])
    assert run.chosen == elsewhere.chosen
    assert trace_hash([run.trace]) != trace_hash([elsewhere.trace])
    row = np.zeros(61, np.int32)
    one, other = DecodingRun(task(), model.exp2).trace, DecodingRun(task(), model.exp2).trace
    one.update(row)
    row[60] = 1
    other.update(row)
    assert trace_hash([one]) != trace_hash([other])
