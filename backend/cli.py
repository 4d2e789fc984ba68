"""`assay serve` runs the coordinator; `assay workloads` shows and changes what it offers."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from backend.domain.assignment import LeaseTimes
from backend.errors import Misconfigured

if TYPE_CHECKING:
    from contracts.protocol.manifest import Manifest

serve_app = typer.Typer(help="Runs the coordinator.")
workloads_app = typer.Typer(help="The workloads that the coordinator offers.", no_args_is_help=True)
_LEASES = LeaseTimes()

Home = Annotated[Path, typer.Option(envvar="ASSAY_HOME", help="folder of database, blobs and keys")]


@serve_app.callback(invoke_without_command=True)
def serve(
    home: Home,
    deployment: Annotated[Path, typer.Option(envvar="ASSAY_DEPLOYMENT", help="the deployment file")],
    rpc: Annotated[str, typer.Option(envvar="ASSAY_RPC", help="URL of the chain")] = "http://127.0.0.1:8545",
    port: Annotated[int, typer.Option(envvar="ASSAY_PORT")] = 8000,
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    lease: Annotated[int, typer.Option(help="seconds that a lease lasts without a heartbeat")] = _LEASES.length_s,
    grace: Annotated[int, typer.Option(help="seconds a lease may outlast an order's deadline")] = _LEASES.grace_s,
    public_rpc: Annotated[
        str | None, typer.Option(envvar="ASSAY_PUBLIC_RPC", help="RPC URL of the chain for browser wallets")
    ] = None,
    canary_budget: Annotated[int, typer.Option(min=0, help="most units per day for newcomers' first jobs")] = 10**9,
    newcomer_price: Annotated[
        int | None,
        typer.Option(min=0, help="most units of a job that is lent without stake; by default a tenth of a token"),
    ] = None,
) -> None:
    """Serves the HTTP API: accepts orders, lends jobs, receives commitments and verdicts.

    With a key file canary.json in HOME, that key's lane pays for newcomers' first jobs.
    """
    import uvicorn

    from backend.api.idle_timeout import IdleTimeoutProtocol
    from backend.app import BackendSettings, build_app
    from backend.store.home import CANARY_KEY, SETTLER_KEY, TREASURY_KEY
    from contracts.onchain.deployment import Deployment
    from contracts.onchain.keystore import load_key

    password, canary = os.environ.get("ASSAY_PASSWORD", ""), home / CANARY_KEY
    settings = BackendSettings(
        home=home, rpc_url=rpc, deployment=Deployment.load(deployment), settler=load_key(home / SETTLER_KEY, password),
        treasury_signer=load_key(home / TREASURY_KEY, password).address, lease_times=LeaseTimes(lease, grace),
        canary=load_key(canary, password) if canary.exists() else None, canary_daily_units=canary_budget,
        public_rpc=public_rpc, newcomer_price=newcomer_price,
    )  # fmt: skip
    app, listening = build_app(settings), _listening(host, port)
    config = uvicorn.Config(app, log_config=None, access_log=False, http=IdleTimeoutProtocol)
    uvicorn.Server(config).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise unlistenable(host, port, error) from error


def unlistenable(host: str, port: int, error: OSError) -> Misconfigured:
    """The error for a port that is in use."""
    return Misconfigured(
        f"cannot listen on {host}:{port}: {error.strerror or error}",
        way_out="choose another --port, or stop the process that uses it",
    )


@workloads_app.command("offer")
def offer(
    manifest: Annotated[Path, typer.Argument(help="the workload's manifest, JSON", exists=True, dir_okay=False)],
    home: Home,
    tokenizer: Annotated[Path, typer.Option(help="the tokenizer.json that the manifest names", exists=True)],
    fixed_price: Annotated[int, typer.Option(min=0, help="units of the token per job")],
    unit_price: Annotated[int, typer.Option(min=0, help="units of the token per metered unit")],
    max_units: Annotated[int, typer.Option(min=1, help="most metered units per job")],
) -> None:
    """Offers a workload or changes its prices. Takes effect at once, for new orders."""
    from backend.services.offering import offer_workload
    from backend.store.home import open_database, open_tokenizers

    parsed = _read_manifest(manifest)
    workload_id = offer_workload(
        open_database(home), open_tokenizers(home), parsed, tokenizer.read_bytes(),
        fixed_price=fixed_price, unit_price=unit_price, max_units=max_units,
    )  # fmt: skip
    Console().print(f"offered {parsed.model} as {workload_id}: {fixed_price} + {unit_price} units per {parsed.unit}")


def _read_manifest(path: Path) -> Manifest:
    from pydantic import ValidationError

    from contracts.protocol.errors import first_fault
    from contracts.protocol.manifest import Manifest

    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise Misconfigured(
            f"{path} is not a manifest: {first_fault(error)}", way_out="correct it and offer it again"
        ) from error


@workloads_app.command("list")
def list_offers(home: Home) -> None:
    """Shows the price sheet."""
    from backend.services.offering import all_offers
    from backend.store.home import open_database

    table = Table("workload", "kind", "model", "fixed", "per unit", "most units", "unit")
    with open_database(home).read() as session:
        for o in all_offers(session):
            prices = (str(o.fixed_price), str(o.unit_price), str(o.max_units))
            table.add_row(o.workload_id, o.manifest.kind, o.manifest.model, *prices, o.manifest.unit)
    Console().print(table)
