"""`assay models`: fetch and list the models this host can run."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from node_agent.execution.errors import ExecutionError
from node_agent.models import SOURCES, ModelStore

app = typer.Typer(help="Fetch and list models.", no_args_is_help=True)

StoreOption = Annotated[
    Path | None, typer.Option("--store", help="Folder of the store; $ASSAY_MODELS or ~/.assay/models if not given.")
]


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help=f"One of: {', '.join(SOURCES)}.")], store: StoreOption = None
) -> None:
    """Fetch a model, verify it against its pinned digests and store it. Does nothing if it is there."""
    console = Console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("Looking for the model", total=None)
            files = ModelStore(store).pull(name, lambda step: progress.update(task, description=step))
    except ExecutionError as error:
        console.print(f"[red]{error.code}[/red] ", end="")
        console.print(str(error), markup=False)
        raise typer.Exit(1) from error
    console.print(f"{name} is ready in {files.weights.parent}", soft_wrap=True)


@app.command("list")
def list_models(store: StoreOption = None) -> None:
    """List the models in the store and those that can be pulled."""
    stored = ModelStore(store).names()
    table = Table("name", "stored", Column("weights sha256", overflow="fold"))
    for name in sorted({*SOURCES, *stored}):
        table.add_row(name, "yes" if name in stored else "no", stored.get(name) or SOURCES[name].weights_sha256)
    Console().print(table)
