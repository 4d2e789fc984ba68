"""`assay chain`: the embedded chain, and deploying the contracts on any chain."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from backend.chain.embedded import CHAIN_ID, EmbeddedChain
from backend.chain.rpc_server import mine_in_background, serve
from contracts.onchain.chain import connect
from contracts.onchain.deployment import deploy
from contracts.onchain.keystore import load_key
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT, PRODUCTION

chain_app = typer.Typer(help="The embedded chain, and deploying the contracts.", no_args_is_help=True)
_SETS = {"production": PRODUCTION, "development": DEVELOPMENT}


@chain_app.command("serve")
def serve_chain(
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8545,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    block_time: Annotated[float, typer.Option(help="seconds between blocks")] = 1.0,
) -> None:
    """Runs an EVM chain in this process and serves it over JSON-RPC. Nothing is kept when it stops."""
    chain = EmbeddedChain()
    server = serve(chain, host, port)
    mine_in_background(chain, block_time)
    Console().print(f"chain {CHAIN_ID} at http://{host}:{server.server_port}, a block every {block_time:g} s")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.shutdown()


@chain_app.command("deploy")
def deploy_contracts(
    key: Annotated[Path, typer.Option(help="key file of the deployer, which needs ether")],
    settler: Annotated[str, typer.Option(help="address that posts and settles epochs")],
    treasury: Annotated[str, typer.Option(help="address that fees go to")],
    beacon_anchor: Annotated[str, typer.Option(help="what `assay beacon init` printed")],
    out: Annotated[Path, typer.Option(help="where to write the deployment file")],
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC")] = "http://127.0.0.1:8545",
    constants: Annotated[str, typer.Option(help="production or development")] = "production",
    token: Annotated[str | None, typer.Option(help="an ERC-20 with 18 decimals; a DevToken is made without")] = None,
) -> None:
    """Deploys the contracts and writes the deployment file that every party reads."""
    if constants not in _SETS:
        raise typer.BadParameter(f"{constants!r} is neither production nor development")
    sender = Sender(connect(rpc), load_key(key, os.environ.get("ASSAY_PASSWORD", "")))
    deployment = deploy(
        sender, _SETS[constants], settler=settler, treasury=treasury, beacon_anchor=beacon_anchor, token=token
    )
    deployment.save(out)
    Console().print(f"deployed in blocks from {deployment.first_block}; wrote {out}")
