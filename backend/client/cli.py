"""`assay jobs` and `assay wallet`: a requester at the command line. Amounts in tokens."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from backend.client.amounts import TokenScale
from backend.client.jobs import AssayClient
from backend.client.wallet import LaneState, Wallet
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import load_key
from contracts.protocol.wire import OrderView

jobs_app = typer.Typer(help="Orders inference and shows what it cost.", no_args_is_help=True)
wallet_app = typer.Typer(help="Moves tokens into lanes and out of them.", no_args_is_help=True)

Home = Annotated[Path, typer.Option(envvar="ASSAY_HOME", help="folder with the key file requester.json")]
Backend = Annotated[str, typer.Option(envvar="ASSAY_BACKEND", help="URL of the coordinator")]
Rpc = Annotated[str, typer.Option(envvar="ASSAY_RPC", help="URL of the chain")]
DeploymentFile = Annotated[Path, typer.Option("--deployment", envvar="ASSAY_DEPLOYMENT", help="the deployment file")]
LaneSigner = Annotated[str | None, typer.Option(help="signer of a session lane; without: the wallet's own lane")]
_BACKEND, _RPC = "http://127.0.0.1:8000", "http://127.0.0.1:8545"


@jobs_app.command("submit")
def submit(
    prompt: Annotated[str, typer.Option(help="what to ask")],
    home: Home,
    deployment: DeploymentFile,
    workload: Annotated[str | None, typer.Option(help="id or model; may be left out if only one is offered")] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="most tokens of the answer")] = 64,
    wait: Annotated[bool, typer.Option("--wait", help="until it is answered")] = False,
    backend: Backend = _BACKEND,
    rpc: Rpc = _RPC,
) -> None:
    """Orders one answer."""
    client, scale = _open(home, deployment, rpc, backend)
    with client:
        view = client.submit(prompt, workload, max_new_tokens)
        most = scale.show(view.order.terms.max_price)
        Console().print(f"order {view.order_id} is {view.state}; it costs at most {most}", soft_wrap=True)
        if wait:
            _show(client, client.wait(view.order_id), scale)


@jobs_app.command("show")
def show(
    order_id: Annotated[str, typer.Argument()],
    home: Home,
    deployment: DeploymentFile,
    backend: Backend = _BACKEND,
    rpc: Rpc = _RPC,
) -> None:
    """Shows an order: its answer, and what was charged beside what was signed."""
    client, scale = _open(home, deployment, rpc, backend)
    with client:
        _show(client, client.order(order_id), scale)


@jobs_app.command("list")
def list_orders(home: Home, deployment: DeploymentFile, backend: Backend = _BACKEND, rpc: Rpc = _RPC) -> None:
    """Lists this requester's newest orders."""
    client, scale = _open(home, deployment, rpc, backend)
    table = Table("order", "state", "price", "signed at most", "deadline")
    with client:
        for view in client.orders():
            price = "" if view.amount_units is None else scale.show(client.verify_price(view))
            terms = view.order.terms
            table.add_row(view.order_id, view.state, price, scale.show(terms.max_price), _time(terms.deadline))
    Console().print(table)


@wallet_app.command("deposit")
def deposit(
    amount: Annotated[str, typer.Argument(help="tokens, e.g. 1.5")],
    home: Home,
    deployment: DeploymentFile,
    signer: LaneSigner = None,
    rpc: Rpc = _RPC,
) -> None:
    """Moves tokens from the wallet into a lane."""
    wallet = _wallet(home, deployment, rpc)
    scale = wallet.scale()
    wallet.deposit(scale.parse(amount), signer)
    _print_lanes([wallet.lane(signer)], scale)


@wallet_app.command("lanes")
def lanes(home: Home, deployment: DeploymentFile, rpc: Rpc = _RPC) -> None:
    """Shows the lanes of this wallet."""
    wallet = _wallet(home, deployment, rpc)
    _print_lanes(wallet.lanes(), wallet.scale())


@wallet_app.command("notice")
def notice(
    home: Home,
    deployment: DeploymentFile,
    signer: LaneSigner = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="take the notice back")] = False,
    rpc: Rpc = _RPC,
) -> None:
    """Gives notice of a withdrawal. No orders are taken in the lane until it lapses."""
    wallet = _wallet(home, deployment, rpc)
    if cancel:
        wallet.cancel_notice(signer)
    else:
        wallet.give_notice(signer)
    _print_lanes([wallet.lane(signer)], wallet.scale())


@wallet_app.command("withdraw")
def withdraw(
    amount: Annotated[str, typer.Argument(help="tokens, e.g. 1.5, or `all`")],
    home: Home,
    deployment: DeploymentFile,
    signer: LaneSigner = None,
    to: Annotated[str | None, typer.Option(help="address that receives; without: the wallet")] = None,
    rpc: Rpc = _RPC,
) -> None:
    """Moves tokens out of a lane whose notice is ripe."""
    wallet = _wallet(home, deployment, rpc)
    scale = wallet.scale()
    units = wallet.lane(signer).balance if amount == "all" else scale.parse(amount)
    wallet.withdraw(units, to, signer)
    _print_lanes([wallet.lane(signer)], scale)


def _wallet(home: Path, deployment: Path, rpc: str) -> Wallet:
    key = load_key(home / "requester.json", os.environ.get("ASSAY_PASSWORD", ""))
    return Wallet(Chain.open(rpc, Deployment.load(deployment)), key)


def _open(home: Path, deployment: Path, rpc: str, backend: str) -> tuple[AssayClient, TokenScale]:
    key = load_key(home / "requester.json", os.environ.get("ASSAY_PASSWORD", ""))
    chain = Chain.open(rpc, Deployment.load(deployment))
    return AssayClient(backend, key, chain=chain), Wallet(chain, key).scale()


def _show(client: AssayClient, view: OrderView, scale: TokenScale) -> None:
    terms, table = view.order.terms, Table(show_header=False, box=None)
    table.add_row("order", view.order_id)
    table.add_row("state", view.state)
    table.add_row("signed", f"{scale.show(terms.fixed_price)} + {scale.show(terms.unit_price)} a unit")
    table.add_row("at most", scale.show(terms.max_price))
    if view.commitment is not None:
        table.add_row("price", f"{scale.show(client.verify_price(view))} for {view.commitment.units} units")
        table.add_row("node", view.commitment.node)
    if view.receipt is not None:
        table.add_row("receipt", f"row {view.receipt.index} of epoch {view.receipt.epoch_id}")
    Console().print(table)
    if view.commitment is not None:
        Console().print(client.output(view).text, markup=False)


def _print_lanes(found: list[LaneState], scale: TokenScale) -> None:
    table = Table("signer", "balance", "charged", "expires", "withdrawable")
    for lane in found:
        ripe, until = lane.withdrawable_from, lane.withdrawable_until
        window = "" if ripe is None or until is None else f"{_time(ripe)} to {_time(until)}"
        expires = _time(lane.expiry) if lane.expiry else "never"
        table.add_row(lane.signer, scale.show(lane.balance), scale.show(lane.charged), expires, window)
    Console().print(table)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds).isoformat(sep=" ")
