"""The GPU bench as far as a CPU can run it: its hashes are of the arithmetic alone, and it writes nothing here."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.gpu import __main__ as bench
from bench.gpu import exactness, models
from node_agent.execution.exact.eager.products import by_name
from node_agent.execution.exact.eager.ways import EagerWay

SMALL = replace(models.SMOLLM2, vocab_size=300, intermediate_size=200, num_hidden_layers=1, positions=128)


def hashes(products: str, static: bool, company: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setitem(exactness.COMPANY, "cpu", company)
    model = models.exact(EagerWay(by_name(products), torch.device("cpu")), SMALL)
    model.static_decoding = static
    return [each["sha256"] for each in exactness.hashes(model, 2, size=6, new=5)]


def test_hashes_are_of_the_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products, batching and shapes of steps change nothing; the prompts of two segments differ."""
    found = hashes("fp64", False, ("1",), monkeypatch)
    assert len(set(found)) == 2
    assert hashes("fp32", True, ("ragged", "8"), monkeypatch) == found


def report(*segments: str, of: str = "one") -> dict[str, Any]:
    return {"of": of, "segments": [{"prompts": 64, "new_tokens": 64, "sha256": each} for each in segments]}


def test_reports_are_compared_as_far_as_both_go() -> None:
    """A CPU may have done the first segments only; another arithmetic, or nothing, is no comparison."""
    assert exactness.compared(report("a", "b", "c"), report("a", "b")) == (128, 0)
    assert exactness.compared(report("a", "b", "c"), report("a", "x")) == (128, 1)
    with pytest.raises(SystemExit, match="another arithmetic"):
        exactness.compared(report("a"), report("a", of="other"))
    with pytest.raises(SystemExit, match="no segment"):
        exactness.compared(report("a"), report())


def test_nothing_is_measured_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing written: the program fails and says why."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(bench, "write", None)
    with pytest.raises(SystemExit, match="no CUDA device"):
        bench.measure(None)
