"""Generating, checking and tracing: the same in any company, and a checker sees every wrong token."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from contracts.protocol.trace import CHUNK_ROWS, decode_shown, trace_hash_of
from contracts.protocol.trace_tree import list_root
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.products import by_name
from node_agent.execution.exact.llama.decoding import DecodingBatch, DecodingRun, DecodingTask, generate, recheck
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.sampling import ExactSampling
from node_agent.execution.exact.trace import TextTrace, encode, first_difference

WARM = ExactSampling(temperature_milli=800, top_p_ppm=900_000, seed=bytes(range(32)))


@pytest.fixture(scope="module")
def model(tiny: Parameters) -> EagerLlama:
    """The tiny model on the CPU."""
    return EagerLlama(tiny, by_name("int8"), torch.device("cpu"))


def task(text: int = 0, **changes: object) -> DecodingTask:
    fields = {"prompt": [5 + text, 9, 44, 2][: 1 + text % 4], "limit": 20, "stops": frozenset({17}), "text": text}
    return DecodingTask(**(fields | changes))  # type: ignore[arg-type]


def facts(run: DecodingRun) -> tuple[list[int], list[bytes]]:
    return run.chosen, run.trace.shown()


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
    length = 3 * CHUNK_ROWS
    (run,) = generate(model, [task(stops=frozenset(), limit=length)])
    (other,) = generate(model, [task(stops=frozenset(), limit=length, sampling=WARM)])
    parting = next(index for index, pair in enumerate(zip(run.chosen, other.chosen, strict=True)) if len(set(pair)) > 1)
    # the logits at the parting are still equal, those after it are not
    shown, theirs = encode([run.trace]), encode([other.trace])
    first = (parting + 1) // CHUNK_ROWS * CHUNK_ROWS
    assert first_difference(shown, theirs) == (0, range(first, first + CHUNK_ROWS))
    assert first_difference(shown, shown) is None
    shorter = TextTrace()
    for _ in range(CHUNK_ROWS):
        shorter.update(np.zeros(1, np.int32))
    assert first_difference(encode([run.trace, shorter]), shown) == (1, range(CHUNK_ROWS))


@given(st.lists(st.integers(1, 100), min_size=1, max_size=5), st.data())
def test_what_is_shown_leads_to_the_trace_hash_and_to_a_changed_row(rows: list[int], data: st.DataObject) -> None:
    """The nodes that are shown rebuild the root over every row of every text, and name the rows of a change."""
    texts = [[np.full(3, 100 * text + row, np.int32) for row in range(count)] for text, count in enumerate(rows)]

    def traced(texts: list[list[np.ndarray]]) -> list[TextTrace]:
        found = [TextTrace() for _ in texts]
        for trace, of_text in zip(found, texts, strict=True):
            for row in of_text:
                trace.update(row)
        return found

    shown = encode(traced(texts))
    assert trace_hash_of(shown) == list_root(trace.shown().root() for trace in traced(texts))
    assert [text.rows for text in decode_shown(shown) or ()] == rows
    text = data.draw(st.integers(0, len(rows) - 1))
    row = data.draw(st.integers(0, rows[text] - 1))
    texts[text][row] = texts[text][row] + 1
    found = first_difference(shown, encode(traced(texts)))
    assert found is not None
    assert found[0] == text
    assert row in found[1]
    assert found[1][-1] < rows[text]


def test_trace_covers_every_logit(model: EagerLlama) -> None:
    """A change of one in one logit gives another trace hash; so do texts in another order."""
    (run,), (other_run,) = generate(model, [task()]), generate(model, [task(1)])
    assert trace_hash_of(encode([run.trace, other_run.trace])) != trace_hash_of(encode([other_run.trace, run.trace]))
    row = np.zeros(61, np.int32)
    one, other = DecodingRun(task(), model.exp2).trace, DecodingRun(task(), model.exp2).trace
    one.update(row)
    row[60] = 1
    other.update(row)
    assert trace_hash_of(encode([one])) != trace_hash_of(encode([other]))
