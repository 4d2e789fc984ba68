"""`assay deploy`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.settings import DEPLOYMENT_FILE

KEY_FILE = "deployer.json"
deploy_app = typer.Typer()


@deploy_app.command()
def deploy_network(
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC", help="URL of the chain.")] = "http://127.0.0.1:8545",
    config: Annotated[Path | None, typer.Option(help="Configuration to deploy, TOML or JSON.")] = None,
    key: Annotated[
        Path | None, typer.Option(help=f"Key file that pays; default: {KEY_FILE} beside the configuration.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Address file to write; commands run in its folder find it.")] = Path(
        DEPLOYMENT_FILE
    ),
    check: Annotated[Path | None, typer.Option(help="Address file to check instead.")] = None,
    example: Annotated[bool, typer.Option("--example", help="Print a configuration with every key.")] = False,
) -> None:
    """Deploy the contracts that a configuration describes, and write the address file that every command reads.

    The addresses follow from the configuration and the code. Contracts that exist are checked, not deployed again: run
    the same command again after a run that was killed or lacked ether. The account that pays gets no role.

    --check sends nothing and needs no key: it shows whether a network is the one in an address file, built from this
    code.
    """
    from backend.client.options import password_of
    from contracts.onchain.chain import connect
    from contracts.onchain.keystore import load_key
    from contracts.onchain.sender import Sender
    from deploy.deploying.config import EXAMPLE, Config
    from deploy.deploying.run import deploy, verify

    console = Console(soft_wrap=True, highlight=False, markup=False)
    if example:
        console.print(EXAMPLE, end="")
        return
    if (config is None) == (check is None):
        raise typer.BadParameter("give --config FILE to deploy it, or --check ADDRESSFILE to check a network")
    if config is None:
        verify(connect(rpc), check, console.print)  # type: ignore[arg-type]  # one of the two is given
        return
    described = Config.load(config)
    file = key or config.parent / KEY_FILE
    deploy(Sender(connect(rpc), load_key(file, password_of(file))), described, out, console.print)
