"""`assay beacon`: make a hash chain, serve its values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from verifier.beacon.chain import DEFAULT_LENGTH
from verifier.options import HomeOption, password

if TYPE_CHECKING:
    from verifier.beacon.chain import BeaconChain

beacon_app = typer.Typer(help="The beacon: half of every seed, fixed before the first epoch.", no_args_is_help=True)


_KEY, _CHAIN = "beacon.key.json", "beacon.json"


@beacon_app.command()
def init(
    home: HomeOption, length: Annotated[int, typer.Option(min=1, help="Epochs that the chain lasts.")] = DEFAULT_LENGTH
) -> None:
    """Make a secret, and print the anchor that the escrow is deployed with."""
    from contracts.onchain.keystore import create_key
    from contracts.protocol.hashing import to_hex
    from verifier.beacon.chain import BeaconChain

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
    """Serve each epoch's value once the block of the seed before it is mined."""
    import uvicorn

    from contracts.onchain.chain import Chain
    from contracts.onchain.deployment import Deployment
    from contracts.protocol.hashing import to_hex
    from verifier.beacon.service import create_app
    from verifier.errors import WrongAnchor

    values = load_chain(home)
    described = Deployment.load(deployment)
    if to_hex(values.anchor) != described.beacon_anchor:
        raise WrongAnchor(expected=described.beacon_anchor, found=to_hex(values.anchor))
    uvicorn.run(create_app(Chain.open(rpc, described), values), host=host, port=port, log_level="warning")


def load_chain(home: Path) -> BeaconChain:
    from contracts.onchain.keystore import load_key
    from verifier.beacon.chain import BeaconChain

    length = int(json.loads((home / _CHAIN).read_text())["length"])
    return BeaconChain(load_key(home / _KEY, password()).private_key(), length)
