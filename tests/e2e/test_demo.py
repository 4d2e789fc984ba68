"""The main job end to end: `assay demo` on Anvil; in the long form on the embedded chain too, as `make demo`."""

import json
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from deploy.localnet.processes import assay_command
from deploy.localnet.scenario import CHEATS, HONEST_NODES
from tests.world.soak import short_or_long

LEAST_JOBS, MOST_SILENT_S = 24, 10.0
TOP_LEVEL = {
    "chain", "epochs", "jobs", "unexplained_wei", "audit", "slashed_nodes", "nodes", "gas_per_job", "cheats",
    "seconds", "plan",
}  # fmt: skip


def run_demo(chain: str, folder: Path) -> dict[str, Any]:
    report = folder / "report.json"
    command = [assay_command(), "demo", "--chain", chain, "--json", str(report)]
    at, told = [time.monotonic()], ""
    with (
        (folder / "errors").open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            at.append(time.monotonic())
            told += line.decode()
    assert process.returncode == 0, told[-4000:] + (folder / "errors").read_text()[-4000:]
    assert max(after - before for before, after in pairwise(at)) <= MOST_SILENT_S
    found = dict(json.loads(report.read_text()))
    plan = found["plan"]
    for words in (f"so {plan['jobs']} jobs of up to", "checked: at least p = ", "a run misses a cheat in"):
        assert words in told
    assert all(window in told for window in plan["shortened"]), "each shortened window is told"
    return found


@pytest.mark.model
@pytest.mark.chain
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chain", short_or_long(["anvil"], ["embedded", "anvil"]))
def test_the_main_job_end_to_end(chain: str, tmp_path: Path) -> None:
    """Everybody honest is paid, the cheats are slashed, every payment is recomputed, no wei is unexplained.

    On Anvil blocks come by interval mining (`--block-time 1`, deploy.localnet.anvil): a transaction waits in the pool
    until the next second's block, several share one, and blocks come when nothing happened.

    Covers: A02, A08, A46, A53
    """
    report = run_demo(chain, tmp_path)
    assert report.keys() >= TOP_LEVEL
    assert report["chain"] == chain
    ordered = sum(requester["orders"] for requester in report["requesters"].values())
    jobs = report["plan"]["jobs"]
    assert LEAST_JOBS <= jobs <= ordered <= jobs + jobs // 3 + len(report["nodes"]), "some are added for a cheat's sake"
    assert sum(report["jobs"].values()) == sum(node["delivered"] for node in report["nodes"].values()) == ordered
    for cheat in report["cheats"].values():
        rate = report["plan"]["check_rate"]
        assert cheat["miss_chance"] <= (1 - rate + 1e-9) ** cheat["jobs"], "p is never below what was announced"
    assert report["plan"]["check_rate"] >= 0.5
    assert report["plan"]["miss_chance"] <= 0.00101
    assert report["jobs"].get("expired", 0) == report["jobs"].get("skipped", 0) == 0
    assert report["epochs"] >= 3
    assert report["kinds"]["generation"] > report["kinds"]["embedding"] > 0
    assert report["epochs_with_both_kinds"] >= 1, "one settlement pays both kinds of work"
    assert report["unexplained_wei"] == 0
    assert report["audit"]["ok"] is True
    assert report["audit"]["payments_recomputed"] >= report["jobs"]["paid"]
    honest = [again for again in report["reruns"] if not again["by_a_cheat"]]
    assert [again["same"] for again in honest] == [True, True, True]
    assert "generation" in {again["kind"] for again in honest}
    assert not any(again["same"] for again in report["reruns"] if again["by_a_cheat"])
    assert set(report["slashed_nodes"]) == set(CHEATS), "the cheats alone; one is missed with its miss_chance"
    nodes = report["nodes"]
    for name in HONEST_NODES:
        assert nodes[name]["slashed_units"] == 0
        assert nodes[name]["earned_units"] == nodes[name]["claimed_units"] > 0
    for requester in report["requesters"].values():
        assert 0 < requester["charged_units"] <= requester["signed_units"]
