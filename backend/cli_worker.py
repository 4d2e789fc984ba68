"""`assay worker` drives the epochs; `assay ledger` shows the books and replays them."""

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from backend.log_filter import OncePerMinute
from backend.services import bookkeeping
from backend.services.closing import ClosingRule
from backend.store.home import open_database, settler_keystore, treasury_keystore
from backend.worker import Worker, WorkerSettings
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import load_key

worker_app = typer.Typer(help="Drives the epochs on chain.")
ledger_app = typer.Typer(help="The books: every unit of every confirmed event.", no_args_is_help=True)
_console = Console()

Home = Annotated[Path, typer.Option(envvar="ASSAY_HOME", help="folder of database, settler.json and treasury.json")]
DeploymentFile = Annotated[Path, typer.Option(envvar="ASSAY_DEPLOYMENT", help="the deployment file")]
Rpc = Annotated[str, typer.Option(envvar="ASSAY_RPC", help="URL of the chain")]


@worker_app.callback(invoke_without_command=True)
def worker(
    home: Home,
    deployment: DeploymentFile,
    beacon: Annotated[str, typer.Option(envvar="ASSAY_BEACON", help="URL of the beacon")],
    rpc: Rpc = "http://127.0.0.1:8545",
    epoch_seconds: Annotated[int, typer.Option(help="how long a delivered job waits for its epoch to close")] = 30,
    confirmations: Annotated[int, typer.Option(help="blocks behind the head that count as final")] = 1,
) -> None:
    """Reads the chain, closes, posts and settles epochs, executes cases. May be killed at any time."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OncePerMinute())
    password = os.environ.get("ASSAY_PASSWORD", "")
    settings = WorkerSettings(
        home=home,
        rpc_url=rpc,
        deployment=Deployment.load(deployment),
        beacon_url=beacon,
        settler=load_key(settler_keystore(home), password),
        treasury=load_key(treasury_keystore(home), password),
        closing=ClosingRule(epoch_seconds),
        confirmations=confirmations,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Worker.open(settings).run(stop)


@ledger_app.command("show")
def show(home: Home, deployment: DeploymentFile, rpc: Rpc = "http://127.0.0.1:8545") -> None:
    """Shows every account's balance, and both contracts against the books. Exits 1 when a wei is unexplained."""
    database = open_database(home)
    with database.read() as session:
        accounts = bookkeeping.balances(session)
    table = Table("account", "units")
    for account, units in accounts.items():
        table.add_row(account, str(units))
    _console.print(table)
    found = bookkeeping.reconcile(database, Chain.open(rpc, Deployment.load(deployment)))
    for one in found:
        _console.print(
            f"{one.contract} at block {one.block_number}: holds {one.held_wei} wei, owes {one.owed_wei}, donated "
            f"{one.donated_wei}, unexplained {one.unexplained_wei}"
        )
    if any(one.unexplained_wei for one in found):
        raise typer.Exit(1)


@ledger_app.command("rebuild")
def rebuild(home: Home, deployment: DeploymentFile) -> None:
    """Replays all confirmed events into a second ledger and compares. Exits 1 when they differ."""
    with open_database(home).read() as session:
        differences = bookkeeping.rebuild(session, Deployment.load(deployment).constants.fee_bps)
    for place, (kept, replayed) in differences.items():
        _console.print(f"{place}: ledger {kept}, replayed {replayed}")
    if differences:
        raise typer.Exit(1)
    _console.print("the replayed ledger is identical")
