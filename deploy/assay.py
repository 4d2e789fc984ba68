"""The `assay` command: gathers each package's sub-commands through the entry points `assay.commands`.

A sub-command's package is imported only when it is the one that is called, so that `assay audit` never loads torch.
"""

import importlib
import logging
import os
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_command

_NOISY = ("httpx", "httpcore", "urllib3", "web3")


class _Commands(TyperGroup):
    """Loads a sub-command when it is asked for."""

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


@app.callback()
def assay() -> None:
    """Assay pays GPU nodes only for work that checks out."""
    logging.basicConfig(
        level=os.environ.get("ASSAY_LOG", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def main() -> None:
    """Entry point. An error of ours prints as one line with its code and exits with 1; any other shows its trace."""
    try:
        app()
    except Exception as error:
        code = getattr(error, "code", None)
        if not isinstance(code, str):
            raise
        Console(stderr=True).print(f"[red]{code}[/red] {error}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
