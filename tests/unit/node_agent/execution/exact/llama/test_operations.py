"""No operation whose bits could differ between hosts runs in a whole generation."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.operations import BannedOperation, watched
from node_agent.execution.exact.eager.products import ALL, Products
from node_agent.execution.exact.llama.decoding import DecodingTask, generate, recheck
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.sampling import ExactSampling


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
def test_a_generation_runs_allowed_operations_only(tiny: Parameters, products: Products) -> None:
    """Prefill, decode, batch, sampling and check, watched operation by operation."""
    model = EagerLlama(tiny, products, torch.device("cpu"))
    tasks = [
        DecodingTask([3] * (70 if text else 5), 6, frozenset(), ExactSampling(900, 950_000), text) for text in range(2)
    ]

    def work() -> None:
        runs = generate(model, tasks)
        assert all(recheck(model, run.task, run.chosen) for run in runs)

    seen = watched(work)
    assert {"bmm", "bucketize", "index_select", "sqrt_"} <= seen


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
def test_fresh_memory_is_written_before_it_is_read(
    tiny: Parameters, products: Products, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`torch.empty` is allowed because nothing reads what it gives: with other bytes in it, the trace is the same."""
    model = EagerLlama(tiny, products, torch.device("cpu"))
    plain, filled = torch.empty, []

    def traces() -> list[list[bytes]]:
        return [run.trace.shown() for run in generate(model, [DecodingTask([3] * 40, 6, frozenset())])]

    def poisoned(*args: Any, **kwargs: Any) -> torch.Tensor:
        filled.append(plain(*args, **kwargs).fill_(77))
        return filled[-1]

    expected = traces()
    monkeypatch.setattr(torch, "empty", poisoned)
    assert traces() == expected
    assert filled


FLOATS = torch.linspace(0.1, 1, 12).view(3, 4)


@pytest.mark.parametrize(
    "work",
    [
        lambda: FLOATS.sum(),
        lambda: FLOATS.softmax(-1),
        lambda: FLOATS.exp(),
        lambda: FLOATS.sqrt(),
        lambda: FLOATS * FLOATS,
        lambda: FLOATS.half() @ FLOATS.half().t(),
        lambda: F.silu(FLOATS),
        lambda: torch.addmm(FLOATS[:, :3], FLOATS, FLOATS.t()),
        lambda: torch.add(torch.tensor([1]), torch.tensor([2]), alpha=3),
        lambda: torch.tensor([7]) / torch.tensor([2]),
        lambda: torch.div(torch.tensor([7]), torch.tensor([2]), rounding_mode="trunc"),
        lambda: torch.tensor([7, 7]).argmax(),
        lambda: torch.rand(2),
    ],
)
def test_the_watch_bites(work: Callable[[], object]) -> None:
    """What differs between hosts is refused: float reductions and elementwise work, fused and undefined ones."""
    with pytest.raises(BannedOperation):
        watched(work)
