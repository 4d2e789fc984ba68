"""`assay demo`: the main job end to end on this machine."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from deploy.localnet.planning import BUDGET_S, EPOCHS, plan, shortened

if TYPE_CHECKING:
    from deploy.localnet.network import Network
    from deploy.localnet.planning import DemoPlan, Machine, MachineSpeeds
    from deploy.localnet.scenario import Story
    from deploy.localnet.telling import Progress
    from node_agent.models import ModelStore

demo_app = typer.Typer()
_CHAINS = ("embedded", "anvil")

THREADS = 1
"""Threads of each engine: four nodes and two verifiers share the cores."""

RERUN = 3
"""Settled jobs of honest nodes that the auditor runs again."""


@demo_app.command()
def demo(
    chain: Annotated[str, typer.Option(help="embedded (py-evm) or anvil")] = "embedded",
    jobs: Annotated[
        int | None,
        typer.Option(min=EPOCHS, help="how many jobs to order; by default what this machine does in 5 minutes"),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="also write the report to this file")] = None,
    keep: Annotated[Path | None, typer.Option(help="an empty folder to work in, kept with all logs")] = None,
    models: Annotated[Path | None, typer.Option(help="folder that `assay models pull` fills")] = None,
) -> None:
    """Orders real jobs from honest nodes and two cheats, checks, settles, slashes, claims, and audits every payment."""
    from deploy.localnet.scenario import HONEST_NODES, VERIFIERS
    from node_agent.hosts import require_serving_host
    from node_agent.models import ModelStore, default_root

    require_serving_host()

    if chain not in _CHAINS:
        raise typer.BadParameter(f"{chain!r} is neither embedded nor anvil")
    console = Console()
    console.print(
        "[bold]Assay demo[/bold]: jobs (SmolLM2-135M-Instruct answers, MiniLM embeds), "
        f"{len(HONEST_NODES)} honest nodes, one that leaves out every fifth layer, one that also spoofs a prefill, "
        f"{len(VERIFIERS)} verifiers of different owners, on the {chain} chain"
    )
    with tempfile.TemporaryDirectory(prefix="assay-demo-") as scratch:
        root = keep or Path(scratch)
        report = _run(console, root.resolve(), chain, jobs, ModelStore(models or default_root()))
    if json_file is not None:
        json_file.write_text(json.dumps(report, indent=2) + "\n")
    rerun_as_expected = all(again["same"] != again["by_a_cheat"] for again in report["reruns"])
    if not report["audit"]["ok"] or report["unexplained_wei"] != 0 or not rerun_as_expected:
        raise typer.Exit(1)


def _run(console: Console, root: Path, chain_kind: str, jobs: int | None, store: ModelStore) -> dict[str, Any]:
    from backend.client.jobs import AssayClient
    from contracts.record.log_source import open_source
    from deploy.localnet.facts import cheat_case, exhibit, gather
    from deploy.localnet.network import Network
    from deploy.localnet.processes import Processes
    from deploy.localnet.report import as_json, show
    from deploy.localnet.scenario import Story, audit_folder, ending
    from deploy.localnet.telling import watching

    started = time.monotonic()
    with watching(console) as progress:
        chosen = _choose(progress, store, jobs)
        progress.expect(chosen.jobs)
        network = Network(root, Processes(root / "logs", threads=THREADS), chosen.constants)
        with ending(network):
            story = Story(network, progress, store, chosen)
            story.set_up(chain_kind)
            story.run_jobs()
            story.finish_cases()
            story.claim()
            progress.step("an auditor recomputes everything")
            folder = audit_folder(network.root)
            audit = _audit(network, folder)
            progress.step("and runs settled jobs again")
            audit["reruns"] = _rerun(network, story, folder)
            progress.step("reading everything back for the report")
            source = open_source(f"{network.backend_url}/v1/log")
            facts = gather(story, network.chain(), source)
            case = cheat_case(story, facts)
            with AssayClient(network.backend_url, next(iter(story.requesters.values()))) as client:
                shown = (case, exhibit(facts, source, case, client.read)) if case else None
    report = as_json(story, facts, audit, chain_kind=chain_kind, seconds=time.monotonic() - started)
    show(console, story, facts, report, shown)
    return report


def _choose(progress: Progress, store: ModelStore, jobs: int | None) -> DemoPlan:
    """Measures this machine and prints the plan. Raises TooSlow."""
    from deploy.localnet.measuring import look
    from deploy.localnet.workload import MODELS

    for name in MODELS.values():
        store.load(name)
    progress.step("measuring this machine")
    speeds, machine = look(store.root, THREADS)
    chosen = plan(speeds, machine, jobs)
    progress.step(_in_words(chosen, speeds, machine))
    return chosen


def _in_words(chosen: DemoPlan, speeds: MachineSpeeds, machine: Machine) -> str:
    """The plan for readers: measurements, jobs, what they can show, and shortened windows."""
    words, vectors = speeds.generation, speeds.embedding
    return "\n".join((
        f"this machine reads {words.read_per_s:.3g} and writes {words.write_per_s:.3g} tokens/s ({words.way}), embeds "
        f"{vectors.read_per_s:.3g} ({vectors.way}), one job alone; {machine.cores} cores, others keep "
        f"{machine.others:.1f} busy",
        f"so {chosen.jobs} jobs of up to {chosen.most_tokens} tokens over {EPOCHS} epochs, in about "
        f"{chosen.total_s:.0f} s (the limit is {BUDGET_S:.0f} s)",
        f"checked: at least p = {chosen.check_rate:.2f} of the jobs; a run misses a cheat in "
        f"{chosen.cheat_jobs} jobs with chance {chosen.miss_chance:.1e}",
        "shorter than in production (in brackets): " + ", ".join(shortened(chosen.constants)),
    ))  # fmt: skip


def _audit(network: Network, folder: Path) -> dict[str, Any]:
    """Runs `assay audit` as anybody can: in an empty folder, with the RPC URL, the address and the log's URL."""
    result = network.root / "audit.json"
    where = ["--rpc", network.rpc_url, "--escrow", network.deployment.escrow, "--log", f"{network.backend_url}/v1/log"]
    network.processes.run("audit", ["audit", *where, "--json", str(result)], cwd=folder)
    audit: dict[str, Any] = json.loads(result.read_text())
    return audit


def _rerun(network: Network, story: Story, folder: Path) -> list[dict[str, Any]]:
    """Runs paid jobs again, as anybody can with `assay verify --job`: some of honest nodes, spread over the run, and
    one unchecked job of a cheat, if there is any."""
    honest = [view.order_id for view in story.orders if view.state == "paid" and view.node not in story.cheats]
    cheated = [view.order_id for view in story.orders if view.state == "paid" and story.is_cheated(view)]
    chosen = [honest[i * (len(honest) - 1) // (RERUN - 1)] for i in range(RERUN)] + cheated[:1]
    where = ["--rpc", network.rpc_url, "--escrow", network.deployment.escrow, "--log", f"{network.backend_url}/v1/log"]
    arguments = ["verify", *(f"--job={order_id}" for order_id in chosen), *where, "--models", str(story.store.root)]
    said = network.processes.run("rerun", [*arguments, "--device", "cpu", "--json"], cwd=folder, ends_with=(0, 1))
    found: list[dict[str, Any]] = json.loads(said)
    return [again | {"by_a_cheat": again["order_id"] in cheated} for again in found]
