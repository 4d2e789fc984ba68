"""Declares the commands of `assay node`, and the options that several of them share.

A command's module imports what its options need; the command imports the rest when it runs.
"""

import json
from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

node_app = typer.Typer(help="Serve jobs as an operator's node.", no_args_is_help=True)
keys_app = typer.Typer(help="Make encrypted key files.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelsOption = Annotated[Path | None, typer.Option(envvar="ASSAY_MODELS", help="Folder of the model store.")]
DeviceOption = Annotated[str | None, typer.Option(envvar="ASSAY_DEVICE", help="cpu, cuda or cuda:N.")]
_PLACE: dict[str, tuple[Any, Path | None]] = {
    "home": (
        Annotated[Path, typer.Option(envvar="ASSAY_HOME", help="Folder of this node's keys, settings and journal.")],
        Path.home() / ".assay" / "node",
    ),
    "rpc": (Annotated[str | None, typer.Option(envvar="ASSAY_RPC", help="JSON-RPC URL of the chain.")], None),
    "deployment": (Annotated[Path | None, typer.Option(envvar="ASSAY_DEPLOYMENT", help="deployment.json")], None),
    "backend": (Annotated[str | None, typer.Option(envvar="ASSAY_BACKEND", help="Base URL of the backend.")], None),
    "owner_key": (
        Annotated[Path | None, typer.Option(envvar="ASSAY_OWNER_KEY", help="The owner's key file; HOME/owner.json.")],
        None,
    ),
}


def node_command(*options: str, **settings: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Declares a command whose first parameter is the NodePlace made from --home and these options.

    `settings`: passed on to typer.
    """

    def declare(run: Callable[..., None]) -> Callable[..., None]:
        @wraps(run)
        def command(home: Path, **given: Any) -> None:
            from node_agent.where import NodePlace

            with NodePlace(home, **{f"{name}_option": given.pop(name) for name in options}) as where:
                run(where, **given)

        place = [
            Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=kind)
            for name, (kind, default) in _PLACE.items()
            if name in ("home", *options)
        ]
        own = [each.replace(kind=Parameter.KEYWORD_ONLY) for each in list(signature(run).parameters.values())[1:]]
        command.__signature__ = Signature([*own, *place])  # type: ignore[attr-defined]  # what typer reads
        command.__annotations__ = {each.name: each.annotation for each in (*own, *place)}
        node_app.command(**settings)(command)
        return command

    return declare


def print_json(value: object) -> None:
    console.print(json.dumps(value, indent=2), markup=False, soft_wrap=True)
