"""The main job end to end: `assay demo` on Anvil; in the long form on the embedded chain too, as `make demo`."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.localnet.processes import assay_command
from deploy.localnet.scenario import CHEATS, HONEST_NODES, MOST_EXTRA_JOBS
from tests.world.soak import short_or_long

JOBS = 48
TOP_LEVEL = {
    "chain", "epochs", "jobs", "unexplained_wei", "audit", "slashed_nodes", "nodes", "gas_per_job", "cheats",
    "seconds",
}  # fmt: skip


def run_demo(chain: str, folder: Path) -> dict[str, Any]:
    report = folder / "report.json"
    command = [assay_command(), "demo", "--chain", chain, "--jobs", str(JOBS), "--json", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1160)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return dict(json.loads(report.read_text()))


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
    assert JOBS <= ordered <= JOBS + MOST_EXTRA_JOBS, "some are added while a cheat has had too few"
    assert sum(report["jobs"].values()) == sum(node["delivered"] for node in report["nodes"].values()) == ordered
    for cheat in report["cheats"].values():
        assert cheat["miss_chance"] <= 0.5 ** cheat["jobs"], "p is never below 0.5 at k = 1"
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
