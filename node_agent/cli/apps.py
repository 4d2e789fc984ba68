"""The two command groups; each module of this package adds its commands to them."""

import typer

node_app = typer.Typer(help="Serve jobs as an operator's node.", no_args_is_help=True)
keys_app = typer.Typer(help="Make encrypted key files.", no_args_is_help=True)
