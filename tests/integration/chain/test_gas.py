"""Gas is a promise: what a job and each act cost on Anvil stays within 2 % of the figures in bench/results/gas.json."""

import json
from typing import Any

import pytest

from bench.gas.__main__ import figures, measure_acts, measure_epochs, shapes
from bench.report import RESULTS

pytestmark = pytest.mark.chain
DRIFT = 0.02


@pytest.fixture(scope="module")
def promised() -> Any:
    """The figures as they were committed."""
    return json.loads((RESULTS / "gas.json").read_text())["figures"]


def test_gas_is_what_was_measured(promised: Any) -> None:
    """Protects everybody who pays for gas: dearer is a fault, cheaper asks for `make bench-gas` and a commit."""
    epochs, acts = measure_epochs(shapes(with_dearest=False)), measure_acts()
    found = figures(epochs, {"claim": epochs["1000x50x50"].claim_gas} | acts)
    assert promised.keys() - found.keys() == {"gas_per_job_1000x1000x1000"}, "the dearest shape takes too long here"
    for name, figure in found.items():
        value, was = figure.value, promised[name]["value"]
        assert value == pytest.approx(was, rel=DRIFT), f"{name} is {value}, was {was}: run `make bench-gas`"
