"""README's figures are those that were measured last: a benchmark that runs again takes its rows along."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NOT_TOLD = {"gas_withdraw", "gas_register_node"}


def test_gas_is_what_was_measured() -> None:
    """Protects readers from figures of code that is gone."""
    figures = json.loads((ROOT / "bench" / "results" / "gas.json").read_text())["figures"]
    measured = {f"{figure['value']:,}" for name, figure in figures.items() if name not in NOT_TOLD}
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if "`make bench-gas` |" in line]
    assert {number for row in rows for number in re.findall(r"[\d,]+", row.split(" | ")[-2])} == measured
