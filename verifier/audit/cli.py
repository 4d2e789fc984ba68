"""`assay audit`: needs only an RPC endpoint, the escrow's address and the published log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from verifier.audit.report import AuditReport

_FAULTS_SHOWN = 20
_STDOUT = Path("-")


def run(
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC", help="JSON-RPC endpoint.")],
    escrow: Annotated[str, typer.Option(envvar="ASSAY_ESCROW", help="Address of JobEscrow.")],
    log: Annotated[str, typer.Option(envvar="ASSAY_LOG", help="URL or folder of the log, e.g. {backend}/v1/log.")],
    json: Annotated[
        Path | None, typer.Option("--json", help="Also write the report to this file; - is stdout.")
    ] = None,
) -> None:
    """Recompute every payment and name the first fault. Exits 1 if there is one."""
    from contracts.onchain.chain import Chain, connect
    from contracts.onchain.discovery import deployment_of
    from contracts.record.log_source import open_source
    from verifier.audit.audit import audit

    w3 = connect(rpc)
    report = audit(Chain(w3, deployment_of(w3, escrow)), open_source(log))
    written = report.model_dump_json(indent=2)
    if json == _STDOUT:
        typer.echo(written)
    else:
        show(report, Console())
        if json is not None:
            json.write_text(written)
    if not report.ok:
        raise typer.Exit(1)


def show(report: AuditReport, console: Console) -> None:
    table = Table(title=f"Audit at block {report.head_block}")
    table.add_column("recomputed")
    table.add_column("value", justify="right")
    for name in report.__class__.model_fields:
        if name not in ("ok", "faults", "head_block"):
            table.add_row(name, f"{getattr(report, name):,}")
    console.print(table)
    if report.first_fault is None:
        console.print("[green]audit: OK[/green]")
        return
    console.print(f"[red]audit: {len(report.faults)} faults[/red]. First: ", end="")
    for fault in report.faults[:_FAULTS_SHOWN]:
        console.print(str(fault), markup=False, soft_wrap=True)
    if len(report.faults) > _FAULTS_SHOWN:
        console.print(f"... and {len(report.faults) - _FAULTS_SHOWN} more; --json shows all")


audit_app = typer.Typer(help="Recompute every payment from the chain and the published log.")
audit_app.command()(run)
