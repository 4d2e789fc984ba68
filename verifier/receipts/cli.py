"""`assay verify`: one payment's receipt against the chain. Needs the file and an RPC endpoint, and nothing else."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.onchain.chain import connect
from verifier.receipts.report import ReceiptReport
from verifier.receipts.verify import verify_receipt

verify_app = typer.Typer(help="Recompute one payment from its receipt and the chain.")


@verify_app.command()
def verify(
    receipt: Annotated[Path, typer.Argument(help="The receipt's file.", exists=True, dir_okay=False)],
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC", help="JSON-RPC endpoint.")],
    escrow: Annotated[
        str | None, typer.Option(envvar="ASSAY_ESCROW", help="The JobEscrow that it must speak of.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="The answer that you hold, to compare it.", exists=True, dir_okay=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say what a receipt proves and what it does not. Exits 1 when anything in it does not hold."""
    held = None if output is None else output.read_bytes()
    report = verify_receipt(receipt.read_bytes(), connect(rpc), escrow=escrow, output=held)
    if json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        show(report, Console(soft_wrap=True, highlight=False))
    if not report.verified:
        raise typer.Exit(1)


def show(report: ReceiptReport, console: Console) -> None:
    """The report for people."""
    for check in report.checks:
        console.print(f"[green]ok[/green]  {check.name}" if check.ok else f"[red]NO[/red]  {check.name}")
    console.print()
    for fault in (check for check in report.checks if not check.ok):
        console.print(f"[red]{', '.join(fault.fields)}[/red]: not so that {fault.name}:")
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
