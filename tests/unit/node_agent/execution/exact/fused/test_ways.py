"""A GPU's self-test tries torch's ways and Triton's alike, and says of each what is wrong with it."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
import torch
from triton.errors import TritonError

from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.exact import golden
from node_agent.execution.exact.eager import ways as eager
from node_agent.execution.exact.eager.products import ALL
from node_agent.execution.exact.fused import products, ways
from node_agent.execution.exact.ways import Sound

TORCH = eager.EagerWay(ALL[-1], torch.device("cuda"))


@pytest.fixture
def sound_ways(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Sound]]:
    """As on a GPU where one of torch's ways is sound."""
    monkeypatch.setattr(ways, "eager", SimpleNamespace(sound_ways=lambda device: Sound((TORCH,), {"other": "wrong"})))
    ways.sound_ways.cache_clear()
    yield ways.sound_ways
    ways.sound_ways.cache_clear()


def test_without_triton_torch_goes_on(sound_ways: Callable[[str], Sound], monkeypatch: pytest.MonkeyPatch) -> None:
    """The fused kernels are missing, and the report says so."""
    monkeypatch.setattr(ways, "find_spec", lambda name: None)
    found = sound_ways("cuda")
    assert found.ways == (TORCH,)
    assert found.unsound == {"other": "wrong", "triton on cuda": "Triton is not installed."}


def test_with_graphs_and_without(sound_ways: Callable[[str], Sound], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are tried; a card that cannot replay the kernels may still start them one by one."""

    def require_sound(way: ways.FusedWay) -> None:
        if way.products.graphs:
            raise RuntimeError("cannot capture\nmore")

    monkeypatch.setattr(ways, "require_sound", require_sound)
    found = sound_ways("cuda")
    assert [way.name for way in found.ways] == [TORCH.name, "triton on cuda without graphs"]
    assert found.unsound == {"other": "wrong", "triton on cuda with graphs": "cannot capture"}


def test_what_the_compiler_refuses_is_no_way(
    sound_ways: Callable[[str], Sound], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton's own errors, of a card that it does not know, end in a report and not in the node's end."""

    def refuse(squares: list[int], device: torch.device) -> list[int]:
        raise TritonError("no such card")

    monkeypatch.setattr(products, "square_roots", refuse)
    found = sound_ways("cuda")
    assert found.ways == (TORCH,)
    assert "no such card" in found.unsound["triton on cuda with graphs"]


def test_one_wrong_root_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed that is off by more than the corrections mend."""
    monkeypatch.setattr(
        products, "square_roots", lambda squares, device: [golden.isqrt(v) + (v == 2**60) for v in squares]
    )
    with pytest.raises(SelfTestFailed, match="wrong square roots"):
        ways.require_sound(ways.FusedWay(ALL[-1], torch.device("cpu")))
