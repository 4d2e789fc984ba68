"""`assay demo`: the main job end to end on this machine."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

if TYPE_CHECKING:
    from deploy.localnet.network import Network
    from deploy.localnet.scenario import Progress, Story
    from node_agent.models import ModelStore

demo_app = typer.Typer()
_CHAINS = ("embedded", "anvil")
_STAGES = (
    ("answered", frozenset({"delivered", "rooted", "paid", "void", "skipped"})),
    ("under a root", frozenset({"rooted", "paid", "void", "skipped"})),
    ("settled", frozenset({"paid", "void", "skipped"})),
)


RERUN = 3
"""Settled jobs of honest nodes that the auditor runs again."""


@demo_app.command()
def demo(
    chain: Annotated[str, typer.Option(help="embedded (py-evm) or anvil")] = "embedded",
    jobs: Annotated[int, typer.Option(min=1, help="how many jobs are ordered; a few more if a cheat had few")] = 48,
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
        f"[bold]Assay demo[/bold]: {jobs} jobs (SmolLM2-135M-Instruct answers, MiniLM embeds), "
        f"{len(HONEST_NODES)} honest nodes, one that leaves out every fifth layer, one that spoofs a prefill besides, "
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


def _run(console: Console, root: Path, chain_kind: str, jobs: int, store: ModelStore) -> dict[str, Any]:
    from contracts.protocol.constants import DEVELOPMENT
    from deploy.localnet.facts import cheat_case, exhibit, gather
    from deploy.localnet.network import Network
    from deploy.localnet.processes import Processes
    from deploy.localnet.report import as_json, show
    from deploy.localnet.scenario import Story, audit_folder, ending
    from verifier.sampling.source import open_source

    started = time.monotonic()
    network = Network(root, Processes(root / "logs"), DEVELOPMENT)
    with ending(network):
        with _watching(console, jobs) as progress:
            story = Story(network, DEVELOPMENT, progress, store, jobs)
            story.set_up(chain_kind)
            story.run_jobs()
            story.finish_cases()
            story.claim()
            progress.step("an auditor recomputes everything")
            folder = audit_folder(network.root)
            audit = _audit(network, folder)
            progress.step("and runs settled jobs again")
            audit["reruns"] = _rerun(network, story, folder)
        source = open_source(f"{network.backend_url}/v1/log")
        facts = gather(story, network.chain(), source)
        report = as_json(story, facts, audit, chain_kind=chain_kind, seconds=time.monotonic() - started)
        case = cheat_case(story, facts)
        show(console, story, facts, report, (case, exhibit(facts, source, case)) if case else None)
    return report


def _audit(network: Network, folder: Path) -> dict[str, Any]:
    """Runs `assay audit` as anybody would: in an empty folder, with the RPC URL, the address and the log's URL."""
    result = network.root / "audit.json"
    where = ["--rpc", network.rpc_url, "--escrow", network.deployment.escrow, "--log", f"{network.backend_url}/v1/log"]
    network.processes.run("audit", ["audit", *where, "--json", str(result)], cwd=folder)
    audit: dict[str, Any] = json.loads(result.read_text())
    return audit


def _rerun(network: Network, story: Story, folder: Path) -> list[dict[str, Any]]:
    """Runs paid jobs again, as anybody would with `assay verify --job`: some of honest nodes, spread over the run, and
    one in which a cheat was not checked, if there is any."""
    honest = [view.order_id for view in story.orders if view.state == "paid" and view.node not in story.cheats]
    cheated = [view.order_id for view in story.orders if view.state == "paid" and story.is_cheated(view)]
    chosen = [honest[i * (len(honest) - 1) // (RERUN - 1)] for i in range(RERUN)] + cheated[:1]
    where = ["--rpc", network.rpc_url, "--escrow", network.deployment.escrow, "--log", f"{network.backend_url}/v1/log"]
    arguments = ["verify", *(f"--job={order_id}" for order_id in chosen), *where, "--models", str(story.store.root)]
    said = network.processes.run("rerun", [*arguments, "--device", "cpu", "--json"], cwd=folder, ends_with=(0, 1))
    found: list[dict[str, Any]] = json.loads(said)
    return [again | {"by_a_cheat": again["order_id"] in cheated} for again in found]


@contextmanager
def _watching(console: Console, jobs: int) -> Iterator[Progress]:
    """Bars for the jobs' stages under a line that names the present step."""
    from deploy.localnet.scenario import Progress

    columns = (TextColumn("{task.description:14}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {name: bars.add_task(name, total=jobs) for name, _ in _STAGES}

        def count(states: dict[str, int]) -> None:
            for name, reached in _STAGES:
                bars.update(tasks[name], completed=sum(n for state, n in states.items() if state in reached))

        yield Progress(step=lambda text: bars.console.print(f"[dim]·[/dim] {text}"), jobs=count)
