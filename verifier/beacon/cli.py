"""`assay beacon`: make a hash chain, serve its values."""

import json
from pathlib import Path
from typing import Annotated

import typer
import uvicorn
from rich.console import Console

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import create_key, load_key
from contracts.protocol.hashing import to_hex
from verifier.beacon.chain import DEFAULT_LENGTH, BeaconChain
from verifier.beacon.service import create_app
from verifier.errors import WrongAnchor
from verifier.options import HomeOption, password

beacon_app = typer.Typer(help="The beacon: half of every seed, fixed before the first epoch.", no_args_is_help=True)


_KEY, _CHAIN = "beacon.key.json", "beacon.json"


@beacon_app.command()
def init(
    home: HomeOption,
    length: Annotated[int, typer.Option(min=1, help="Epochs that the chain lasts.")] = DEFAULT_LENGTH,
) -> None:
    """Make a secret, and print the anchor that the escrow is deployed with."""
    secret = create_key(home / _KEY, password()).private_key()
    anchor = to_hex(BeaconChain(secret, length).anchor)
    (home / _CHAIN).write_text(json.dumps({"anchor": anchor, "length": length}))
    typer.echo(anchor)
    Console(stderr=True).print(f"{length} epochs. Deploy the escrow with this anchor; keep {home} secret.")


@beacon_app.command()
def serve(
    home: HomeOption,
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC", help="JSON-RPC endpoint.")],
    deployment: Annotated[Path, typer.Option(envvar="ASSAY_DEPLOYMENT", help="Path of deployment.json.")],
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8790,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Show each epoch's value once its seed's block is behind."""
    values = load_chain(home)
    described = Deployment.load(deployment)
    if to_hex(values.anchor) != described.beacon_anchor:
        raise WrongAnchor(expected=described.beacon_anchor, found=to_hex(values.anchor))
    uvicorn.run(create_app(Chain.open(rpc, described), values), host=host, port=port, log_level="warning")


def load_chain(home: Path) -> BeaconChain:
    """The chain that `init` made."""
    length = int(json.loads((home / _CHAIN).read_text())["length"])
    return BeaconChain(load_key(home / _KEY, password()).private_key(), length)
