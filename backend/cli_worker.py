"""`assay worker` drives epochs on chain; `assay ledger` shows the ledger, rebuilds it and recovers the database."""

import logging
import os
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from contracts.onchain.chain import Chain

worker_app = typer.Typer(help="Drives epochs on chain.")
ledger_app = typer.Typer(help="The ledger: every unit of every confirmed event.", no_args_is_help=True)
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
    """Closes, posts and settles epochs, executes cases, answers contests. May be killed at any time."""
    from backend.log_filter import OncePerMinute
    from backend.services.closing import ClosingRule
    from backend.store.home import SETTLER_KEY, TREASURY_KEY
    from backend.worker import Worker, WorkerSettings
    from contracts.onchain.deployment import Deployment
    from contracts.onchain.keystore import load_key

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OncePerMinute())
    password = os.environ.get("ASSAY_PASSWORD", "")
    settings = WorkerSettings(
        home=home, rpc_url=rpc, deployment=Deployment.load(deployment), beacon_url=beacon,
        settler=load_key(home / SETTLER_KEY, password), treasury=load_key(home / TREASURY_KEY, password),
        closing=ClosingRule(epoch_seconds), confirmations=confirmations,
    )  # fmt: skip
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Worker.open(settings).run(stop)


@ledger_app.command("show")
def show(home: Home, deployment: DeploymentFile, rpc: Rpc = "http://127.0.0.1:8545") -> None:
    """Shows every account's balance and what the contracts hold. Exits 1 if a wei is unexplained."""
    from backend.services.ledger.reconcile import reconcile
    from backend.store.home import open_database
    from backend.store.ledger import balances

    database = open_database(home)
    with database.read() as session:
        accounts = balances(session)
    table = Table("account", "units")
    for account, units in accounts.items():
        table.add_row(account, str(units))
    _console.print(table)
    block, books = reconcile(database, _chain(rpc, deployment))
    for one in books:
        _console.print(
            f"{one.contract} at block {block}: holds {one.held_wei} wei, owes {one.owed_wei}, was donated "
            f"{one.donated_wei}, unexplained {one.unexplained_wei}"
        )
    if any(one.unexplained_wei for one in books):
        raise typer.Exit(1)


@ledger_app.command("rebuild")
def rebuild(home: Home, deployment: DeploymentFile, rpc: Rpc = "http://127.0.0.1:8545") -> None:
    """Rebuilds the ledger from the chain's logs and compares it entry by entry. Exits 1 if they differ."""
    from backend.services.ledger.rebuild import rebuild_ledger
    from backend.store.home import open_database

    with tempfile.TemporaryDirectory() as scratch:
        found = rebuild_ledger(open_database(home), _chain(rpc, deployment), Path(scratch))
    for place, (kept, replayed) in found.differences.items():
        _console.print(f"{place}: the ledger has {kept}, the replay {replayed}")
    if found.differences:
        raise typer.Exit(1)
    _console.print(f"the replayed ledger is identical: {found.entries} entries up to block {found.block_number}")


@ledger_app.command("recover")
def recover(
    home: Home,
    deployment: DeploymentFile,
    rpc: Rpc = "http://127.0.0.1:8545",
    log: Annotated[Path | None, typer.Option(help="the published log's folder; by default HOME/log")] = None,
    confirmations: Annotated[int, typer.Option(help="blocks behind the head that count as final")] = 1,
) -> None:
    """Rebuilds a lost database from the chain and the published log, so that posted epochs can be settled.

    Stop `assay serve` and `assay worker` first. Orders that no epoch's file holds are lost; nobody is charged for them.
    """
    from backend.chain.indexer import Indexer
    from backend.services.recovery import recover_database
    from backend.store.home import LOG, open_blobs, open_database

    chain, database = _chain(rpc, deployment), open_database(home)
    indexer = Indexer(database, chain, confirmations=confirmations)
    while indexer.step():
        pass
    found = recover_database(database, open_blobs(home), chain.deployment, log or home / LOG)
    _console.print(f"recovered {found.epochs} epochs with {found.orders} orders; start `assay worker` to continue")
    if found.unposted is not None:
        _console.print(f"epoch {found.unposted} was closed but not posted; the worker will post it")
    if found.missing_blobs:
        lost = len(found.missing_blobs)
        _console.print(
            f"{lost} inputs and outputs are not in the log (restricted, or lost): {found.missing_blobs[0]} ..."
        )
    _console.print("check the price sheet (`assay workloads list`, `assay workloads offer`) before `assay serve`")


def _chain(rpc: str, deployment: Path) -> "Chain":
    from contracts.onchain.chain import Chain
    from contracts.onchain.deployment import Deployment

    return Chain.open(rpc, Deployment.load(deployment))
