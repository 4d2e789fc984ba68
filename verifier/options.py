"""Shared options."""

import os
from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[Path, typer.Option("--home", envvar="ASSAY_HOME", help="Folder of the secret and its files.")]


def password() -> str:
    """The key files' password, from the environment: an argument would show in the list of processes."""
    found = os.environ.get("ASSAY_PASSWORD")
    if not found:
        raise typer.BadParameter("set ASSAY_PASSWORD to the password of the key file", param_hint="ASSAY_PASSWORD")
    return found
