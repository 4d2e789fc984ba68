"""The figures of the exact engine's speed in this commit are of the sources in this commit."""

import json

import pytest

from bench.exact.__main__ import TIMED, sources_sha256
from bench.report import RESULTS


@pytest.mark.parametrize("part", TIMED)
def test_figures_of_speed_are_of_these_sources(part: str) -> None:
    """Protects readers from figures of kernels that are gone: whoever changes one measures again,
    `python -m bench.exact speed node`."""
    raw = json.loads((RESULTS / "raw" / f"exact-{part}.json").read_text())
    assert raw["sources_sha256"] == sources_sha256()


def test_llama_cpp_stood_beside() -> None:
    """Protects the comparison: the figures say which llama.cpp was measured, and on which CPU."""
    found = json.loads((RESULTS / "exact.json").read_text())
    assert "native build" in found["peer_build"]
    assert "avx2" in found["cpu_flags"] or "asimd" in found["cpu_flags"]
    assert found["figures"]["decode_ratio_llamacpp_q8"]["value"] is not None
