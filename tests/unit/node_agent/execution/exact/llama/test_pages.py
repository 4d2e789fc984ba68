"""Pages of the past: numbers in their own widths, read once by texts that begin alike, the same bits whoever reads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node_agent.execution.exact import kernels
from node_agent.execution.exact.kernels import PAGE, QUERIES
from node_agent.execution.exact.llama.decoding import DecodingRun, DecodingTask, generate, recheck
from node_agent.execution.exact.llama.kernels import KernelLlama
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.llama.pages import PageStore
from node_agent.execution.exact.llama.reference import Reference
from node_agent.execution.exact.port import Reading
from tests.world.soak import short_or_long

_PATIENT = settings(max_examples=short_or_long(8, 60), suppress_health_check=[HealthCheck.function_scoped_fixture])
START = [(7 * index) % 60 for index in range(3 * PAGE)]


def model_of(parameters: Parameters, name: str = "portable") -> KernelLlama:
    return KernelLlama(parameters, kernels.loaded(name, 2))


@contextmanager
def rows_read(model: KernelLlama, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of rows of each step that the model reads meanwhile."""
    found: list[int] = []
    read = model.read

    def counted(batch: Sequence[Reading]) -> np.ndarray:
        found.append(sum(len(each.tokens) for each in batch))
        return read(batch)

    with monkeypatch.context() as patch:
        patch.setattr(model, "read", counted)
        yield found


def said(runs: Sequence[DecodingRun]) -> list[tuple[list[int], object]]:
    return [(run.chosen, run.trace.shown()) for run in runs]


@_PATIENT
@given(
    name=st.sampled_from(kernels.available()), group=st.sampled_from([1, 3, QUERIES, QUERIES + 3]),
    head_dim=st.sampled_from([2, 10, 16, 30, 64, 80, 128, 130, 256]), size=st.sampled_from([0.0, 0.3, 1.0, 8.0]),
    chunk=st.integers(1, 41), seed=st.integers(0, 1000),
)  # fmt: skip
def test_pages_hold_what_the_reference_holds(
    make_model, name: str, group: int, head_dim: int, size: float, chunk: int, seed: int
) -> None:
    """Heads of any width, in groups of any size, over borders of pages: from even attention to shares of nearly one and
    scores past 32 bits."""
    parameters = make_model(
        seed, size, num_attention_heads=group, num_key_value_heads=1, head_dim=head_dim, num_hidden_layers=1,
        max_position_embeddings=64, vocab_size=20, hidden_size=12, intermediate_size=8,
    )  # fmt: skip
    tokens = [(seed + 3 * index * index) % 20 for index in range(41)]
    model, reference = model_of(parameters, name), Reference(parameters)
    cache, found = model.new_cache(len(tokens)), []
    for start in range(0, len(tokens), chunk):
        piece = tokens[start : start + chunk]
        found += model.read([Reading(piece, cache, len(piece))]).tolist()
    assert found == [reference.logits(token) for token in tokens]


def test_a_beginning_is_read_once(make_model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Texts that begin alike, in one batch and one after the other: what they share is read once, and each gets what it
    gets alone."""
    parameters = make_model(4, max_position_embeddings=128)
    ends = [[1], [2, 3], [4] * 20, []]
    tasks = [DecodingTask([*START, *end], 5, frozenset(), text=index) for index, end in enumerate(ends)]
    alone = [said(generate(model_of(parameters), [task]))[0] for task in tasks]
    model = model_of(parameters)
    with rows_read(model, monkeypatch) as rows:
        together = generate(model, tasks)
    assert said(together) == alone
    own = [len(end) for end in ends[:3]] + [
        PAGE
    ]  # the last text ends with the shared part: its last page is read again
    assert sum(rows) == len(START) + sum(own) + 4 * len(tasks)
    with rows_read(model, monkeypatch) as rows:
        later = generate(model, tasks[:2])
        checked = recheck(model, tasks[0], together[0].chosen)
    assert said(later) == alone[:2]
    assert checked is not None
    assert said([checked]) == alone[:1]
    assert sum(rows) == sum(own[:2]) + 4 * 2 + (own[0] + 4)


def test_a_page_of_other_tokens_is_not_taken(make_model) -> None:
    """One token of the beginning differs: nothing behind it is shared."""
    parameters = make_model(4, max_position_embeddings=128)
    model, other = model_of(parameters), [*START[:PAGE], 59, *START[PAGE + 1 :], 1]
    generate(model, [DecodingTask([*START, 1], 2, frozenset())])
    cache = model.new_cache(len(other))
    cache.recall(other)
    assert cache.used == PAGE
    task = DecodingTask(other, 4, frozenset())
    assert said(generate(model, [task])) == said(generate(model_of(parameters), [task]))


def test_what_is_kept_is_bounded() -> None:
    """The page used longest ago goes first, so that strangers' texts do not fill a node's memory. Covers: A52"""
    store = PageStore(page_bytes=10, kept_bytes=25)
    pages = [store.new() for _ in range(3)]
    store.keep(b"a", pages[0])
    store.keep(b"b", pages[1])
    assert store.find(b"a") is pages[0]
    store.keep(b"c", pages[2])
    assert [store.find(name) is not None for name in (b"a", b"b", b"c")] == [True, False, True]


@pytest.mark.parametrize("head_dim", [64, 80, 128, 256])
def test_numbers_take_their_own_widths(head_dim: int) -> None:
    """A third of what keys and values take in fp32."""
    block = kernels.loaded("portable", 1).block_bytes(head_dim)
    assert 3 * block <= 2 * PAGE * head_dim * 4
