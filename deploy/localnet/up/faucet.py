"""`assay faucet`: gives an address ether and tokens on a test network."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts.protocol.amounts import positive_amount
from deploy.localnet.up.errors import NoFaucet

PLAY_CHAIN_ID = 31337

faucet_app = typer.Typer()


@faucet_app.command()
def faucet(
    address: Annotated[str, typer.Argument(help="Who is given something.")],
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC", help="JSON-RPC URL of the chain.")],
    deployment: Annotated[Path, typer.Option(envvar="ASSAY_DEPLOYMENT", help="deployment.json")],
    tokens: Annotated[int, typer.Option(max=10**6, help="Whole tokens.", callback=positive_amount)] = 100,
) -> None:
    """Give an address tokens, and ether for gas, on a network that `assay up` keeps."""
    from eth_utils.address import is_address

    from contracts.onchain.deployment import Deployment
    from deploy.localnet.founding import TOKEN_UNITS
    from deploy.localnet.network import ETHER_EACH_WEI, Network
    from deploy.localnet.processes import Processes

    if not is_address(address):
        raise typer.BadParameter(f"{address!r} is no address; give 0x and 40 hex digits", param_hint="ADDRESS")
    found = Deployment.load(deployment)
    if found.chain_id != PLAY_CHAIN_ID:
        raise NoFaucet(found.chain_id)
    network = Network(deployment.parent, Processes(deployment.parent / "logs"), found.constants, rpc_url=rpc)
    network.fund({address: tokens * TOKEN_UNITS * found.constants.unit_wei})
    ether = ETHER_EACH_WEI // 10**18
    Console(highlight=False).print(f"{address} was given {tokens} tokens and {ether} ether", soft_wrap=True)
