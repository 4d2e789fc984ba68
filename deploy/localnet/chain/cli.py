"""`assay chain`: the embedded chain, and a test token on any chain. `assay deploy` brings the contracts."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

chain_app = typer.Typer(help="The embedded chain, and a test token.", no_args_is_help=True)


@chain_app.command("serve")
def serve_chain(
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 8545,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    block_time: Annotated[float, typer.Option(help="seconds between blocks")] = 1.0,
) -> None:
    """Runs an EVM chain in this process and serves it over JSON-RPC. Nothing is kept when it stops."""
    from backend.cli import unlistenable
    from deploy.localnet.chain.embedded import CHAIN_ID, EmbeddedChain
    from deploy.localnet.chain.rpc_server import mine_in_background, serve

    chain = EmbeddedChain()
    try:
        server = serve(chain, host, port)
    except OSError as error:
        raise unlistenable(host, port, error) from error
    mine_in_background(chain, block_time)
    Console().print(f"chain {CHAIN_ID} at http://{host}:{server.server_port}, a block every {block_time:g} s")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.shutdown()


@chain_app.command("token")
def make_token(
    key: Annotated[Path, typer.Option(help="key file of the account that makes it and may make more; needs ether")],
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC")] = "http://127.0.0.1:8545",
) -> None:
    """Makes a test token of 18 decimals, a thousand million of it for the key's account. Prints its address."""
    from contracts.onchain.chain import connect
    from contracts.onchain.deployment import make_dev_token
    from contracts.onchain.keystore import load_key
    from contracts.onchain.sender import Sender

    sender = Sender(connect(rpc), load_key(key, os.environ.get("ASSAY_PASSWORD", "")))
    Console(soft_wrap=True).print(make_dev_token(sender), highlight=False)
