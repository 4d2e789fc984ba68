"""The `assay` command: gathers each package's sub-commands through the entry points `assay.commands`.

A sub-command's module is imported only when it is called, and imports only what its options need; the command imports
the rest when it runs. So each starts fast, and `assay audit` never loads an engine.
"""

import importlib
import logging
import os
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup
from typer.main import get_command

from contracts.protocol.errors import AssayError
from deploy.settings import fill_in

_NOT_RUNNING = ("backend_unavailable", "chain_unavailable")
_NOISY = ("httpx", "httpcore")


class _Commands(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(point.name for point in _points())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        point = next((point for point in _points() if point.name == cmd_name), None)
        return None if point is None else _load(point)


def _points() -> Iterable[EntryPoint]:
    return entry_points(group="assay.commands")


def _load(point: EntryPoint) -> Any:
    module, attribute = point.value.split(":")
    command = get_command(getattr(importlib.import_module(module), attribute))
    command.name = point.name
    return command


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"assay {version('assay')}")
        raise typer.Exit


@app.callback()
def assay(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_show_version)
    ] = False,
    password_file: Annotated[
        Path | None, typer.Option(envvar="ASSAY_PASSWORD_FILE", help="File with the key files' password.")
    ] = None,
) -> None:
    """Assay pays GPU nodes only for work that checks out."""
    if password_file is not None:
        os.environ["ASSAY_PASSWORD_FILE"] = str(password_file)
    network = fill_in(context.invoked_subcommand or "", sys.argv[1:], os.environ, Path.cwd())
    if network is not None:
        os.environ["ASSAY_NET"] = str(network)
    logging.basicConfig(
        level=os.environ.get("ASSAY_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def main() -> None:
    """Entry point. Prints our own errors and those of files as one line with a code, and exits with 1."""
    try:
        app()
    except OSError as error:
        if error.filename is None:
            raise
        _end("file_unusable", f"{error.filename}: {error.strerror}; check the path, its permissions and the disk")
    except AssayError as error:
        _end(error.code, str(error))


def _end(code: str, words: str) -> None:
    network = os.environ.get("ASSAY_NET")
    if network and code in _NOT_RUNNING:
        words += f" This command uses the network of {network}: is `assay up` running there?"
    Console(stderr=True, soft_wrap=True).print(Text.assemble((code, "red"), f" {words}"))
    sys.exit(1)


if __name__ == "__main__":
    main()
