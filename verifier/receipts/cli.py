"""`assay verify`: checks one payment's receipt against the chain, or runs jobs again.

A receipt needs only its file and an RPC endpoint; a job also the published log and the model.
"""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from verifier.receipts.report import ReceiptReport
    from verifier.reexecution.rerun import Rerun, Seen

verify_app = typer.Typer(help="Recompute one payment from its receipt and the chain.")


@verify_app.command()
def verify(
    *,
    receipt: Annotated[Path | None, typer.Argument(help="The receipt's file.", exists=True, dir_okay=False)] = None,
    job: Annotated[
        list[str] | None,
        typer.Option(help="Instead, run the job of this order again: its whole id, or latest. Repeatable."),
    ] = None,
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC", help="JSON-RPC endpoint.")],
    escrow: Annotated[str | None, typer.Option(envvar="ASSAY_ESCROW", help="The JobEscrow that it must name.")] = None,
    output: Annotated[
        Path | None, typer.Option(help="Your copy of the answer, to compare it.", exists=True, dir_okay=False)
    ] = None,
    log: Annotated[
        str | None, typer.Option(envvar="ASSAY_LOG", help="For --job: URL or folder of the log, e.g. {backend}/v1/log.")
    ] = None,
    models: Annotated[
        Path, typer.Option(envvar="ASSAY_MODELS", help="For --job: folder that `assay models pull` fills.")
    ] = Path("~/.assay/models"),
    device: Annotated[str | None, typer.Option(help="For --job: cpu, cuda or cuda:N; the first GPU, else CPU.")] = None,
    unconfined: Annotated[
        bool, typer.Option("--unconfined", help="For --job, where nothing can be confined: run it in this process.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Show what a receipt proves and what it does not, or whether jobs give the paid results here too.

    Exits 1 if not, or if unknown. Native work is confirmed if it is equal, or within the thresholds of the two classes.
    """
    if (receipt is None) == (not job):
        raise typer.BadParameter("give a receipt's file, or --job with an order's id")
    if job:
        _rerun(job, rpc, escrow, log, models, device, confined=not unconfined, as_json=json)
        return
    from contracts.onchain.chain import connect
    from verifier.receipts.verify import verify_receipt

    assert receipt is not None
    held = None if output is None else output.read_bytes()
    report = verify_receipt(receipt.read_bytes(), connect(rpc), escrow=escrow, output=held)
    if json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        show(report, Console(soft_wrap=True, highlight=False))
    if not report.verified:
        raise typer.Exit(1)


def _rerun(
    order_ids: list[str],
    rpc: str,
    escrow: str | None,
    log: str | None,
    models: Path,
    device: str | None,
    *,
    confined: bool,
    as_json: bool,
) -> None:
    from contracts.onchain.chain import Chain, connect
    from contracts.onchain.discovery import deployment_of
    from contracts.record.log_source import open_source
    from verifier.reexecution.engines import LocalEngines
    from verifier.reexecution.rerun import find_settled, rerun

    if escrow is None or log is None:
        raise typer.BadParameter("--job needs --escrow and --log")
    engines = LocalEngines(models, device, confined=confined)
    w3, source = connect(rpc), open_source(log)
    chain = Chain(w3, deployment_of(w3, escrow))
    found = [rerun(job, source, engines) for job in find_settled(chain, source, order_ids)]
    if as_json:
        typer.echo(json_.dumps([one.model_dump(mode="json") for one in found], indent=2))
    else:
        console = Console(soft_wrap=True, highlight=False)
        for one in found:
            show_rerun(one, console)
    if not all(one.confirmed for one in found):
        raise typer.Exit(1)


def show_rerun(found: Rerun, console: Console) -> None:
    console.print(f"epoch {found.epoch_id} row {found.row}: {found.kind} by {found.model}, engine {found.engine}")
    console.print(f"  node {found.node} signed traceCommit {found.signed_trace_commit}")
    console.print(f"  here, in {found.seconds} s, it is          {found.trace_commit}, {found.opening.units} units")
    if found.same:
        console.print("  [green]same[/green]: trace, output and units are the node's, bit for bit")
        return
    if found.unshown:
        console.print(
            f"  other bits ({', '.join(found.differs_in)}), as on hosts of another class; [yellow]cannot be judged"
            "[/yellow] before the node shows its trace, after the check period"
        )
    elif found.seen is not None:
        show_seen(found.seen, found.differs_in, console)
    else:
        console.print(f"  [red]NOT the same[/red]: {', '.join(found.differs_in)} differ")
    if found.first_difference is not None:
        console.print(f"  first difference: {found.first_difference}", markup=False)
    if found.trace_difference is not None:
        console.print(f"  first difference of the traces: {found.trace_difference}", markup=False)


def show_seen(seen: Seen, differing: list[str], console: Console) -> None:
    """Prints native work: between two classes, other bits are no fault."""
    judged = seen.judgement
    whose = f"a node of class {(seen.node_class or 'none')[:8]}; this machine is of {seen.own_class[:8]}"
    if seen.node_class == seen.own_class:
        whose = f"a node of this machine's class, {seen.own_class[:8]}, in which they should be equal"
    console.print(f"  other bits ({', '.join(differing)}), by {whose}")
    colour = {"accept": "green", "inconclusive": "yellow", "suspect": "red"}[judged.finding.value]
    console.print(
        f"  [{colour}]{judged.finding.value}[/{colour}]: {judged.tokens} tokens, activations a median of "
        f"{seen.distance} of 256 steps apart"
    )
    if not seen.calibrated:
        console.print("  these two classes were never calibrated against each other, so nothing more is known")


def show(report: ReceiptReport, console: Console) -> None:
    for check in report.checks:
        console.print(f"[green]ok[/green]  {check.name}" if check.ok else f"[red]NO[/red]  {check.name}")
    console.print()
    for fault in (check for check in report.checks if not check.ok):
        console.print(f"[red]{', '.join(fault.fields)}[/red]: false: {fault.name}:")
        console.print(f"  expected {fault.expected}\n  found    {fault.found}", markup=False)
    if report.verified:
        console.print(f"[green]The receipt holds: {report.outcome}.[/green] It proves:")
        for sentence in report.proves:
            console.print(f"  - {sentence}", markup=False)
        console.print("It does not prove:")
    else:
        console.print("[red]The receipt does not hold.[/red]")
    for sentence in report.does_not_prove:
        console.print(f"  - {sentence}", markup=False)
