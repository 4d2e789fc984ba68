"""Options that the node's commands share, and how their errors are shown.

A command's module imports what its options need; what the command needs is imported when it runs.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.protocol.errors import AssayError

console = Console(soft_wrap=True, highlight=False)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="ASSAY_HOME", help="Folder of this node's keys, settings and journal.")
]
RpcOption = Annotated[str | None, typer.Option("--rpc", envvar="ASSAY_RPC", help="JSON-RPC URL of the chain.")]
DeploymentOption = Annotated[
    Path | None, typer.Option("--deployment", envvar="ASSAY_DEPLOYMENT", help="deployment.json")
]
BackendOption = Annotated[
    str | None, typer.Option("--backend", envvar="ASSAY_BACKEND", help="Base URL of the backend.")
]
OwnerKeyOption = Annotated[
    Path | None, typer.Option("--owner-key", envvar="ASSAY_OWNER_KEY", help="The owner's key file; HOME/owner.json.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines.")]
DEFAULT_HOME = Path.home() / ".assay" / "node"


@contextmanager
def explained() -> Iterator[None]:
    """Known errors end the command with their code and words, without a trace."""

    try:
        yield
    except AssayError as error:
        console.print(f"[red]{error.code}[/red] ", end="")
        console.print(str(error), markup=False)
        raise typer.Exit(1) from error


def print_json(value: object) -> None:
    """One JSON object on standard output."""
    console.print(json.dumps(value, indent=2), markup=False, soft_wrap=True)
