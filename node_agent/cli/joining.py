"""`assay keys new`, `assay node keys`, `assay node init`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.protocol.amounts import amount_or_zero
from node_agent.cli.apps import keys_app, node_app
from node_agent.cli.options import (
    DEFAULT_HOME,
    BackendOption,
    DeploymentOption,
    HomeOption,
    OwnerKeyOption,
    RpcOption,
    console,
    explained,
)
from node_agent.errors import BadSetting

if TYPE_CHECKING:
    from contracts.onchain.chain import Chain
    from contracts.onchain.deployment import Deployment
    from contracts.protocol.signing import Signer
    from contracts.protocol.wire import NetworkInfo
    from node_agent.home import HomeSettings


@keys_app.command("new")
def new_key(file: Annotated[Path, typer.Argument(help="Where to write it; a file is never overwritten.")]) -> None:
    """Make a key, write it encrypted with ASSAY_PASSWORD, and print its address."""
    from contracts.onchain.keystore import create_key
    from node_agent.home import password

    with explained():
        typer.echo(create_key(file, password()).address)


@keys_app.callback()
def _keys() -> None:
    """Make encrypted key files."""


@node_app.command()
def keys(home: HomeOption = DEFAULT_HOME, owner_key: OwnerKeyOption = None) -> None:
    """Make the node's and the owner's key if they are missing, and show the addresses."""
    from contracts.onchain.keystore import create_key
    from node_agent.home import NODE_KEY, address_in, password
    from node_agent.where import NodePlace

    with explained():
        for name, path in (("node", home / NODE_KEY), ("owner", NodePlace(home, owner_key_option=owner_key).owner_key)):
            address = address_in(path) if path.exists() else create_key(path, password()).address
            console.print(f"{name:<6} {address}  {path}")


@node_app.command()
def init(
    home: HomeOption = DEFAULT_HOME,
    backend: BackendOption = None,
    rpc: RpcOption = None,
    deployment: DeploymentOption = None,
    stake: Annotated[
        str | None,
        typer.Option(
            help="Bring the stake up to so many tokens; room for ten jobs at once if not given.",
            callback=amount_or_zero,
        ),
    ] = None,
    payout: Annotated[str | None, typer.Option(help="Address that claims go to; the owner's if not given.")] = None,
    owner_key: OwnerKeyOption = None,
    workload: Annotated[list[str] | None, typer.Option(help="Serve only this one. May be given again.")] = None,
    models: Annotated[Path | None, typer.Option(envvar="ASSAY_MODELS", help="Folder of the model store.")] = None,
    device: Annotated[str | None, typer.Option(envvar="ASSAY_DEVICE", help="cpu, cuda or cuda:N.")] = None,
) -> None:
    """Make the keys, register, stake, fetch the models. Says what to fund; run it again, without options, to go on."""
    from eth_utils.address import is_address

    from contracts.onchain.sender import Sender
    from node_agent.cli.show import show_account
    from node_agent.home import NODE_KEY
    from node_agent.session.registration import Goal, join
    from node_agent.where import NodePlace

    with explained():
        if payout is not None and not is_address(payout):
            raise BadSetting(f"--payout {payout} is no address.", way_out="Give 0x and 40 hex digits.", payout=payout)
        given = {
            "rpc": rpc, "backend": backend, "workloads": workload or None, "models": str(models) if models else None,
            "device": device, "owner_key": str(owner_key) if owner_key else None,
            "payout": payout.lower() if payout else None, "stake": stake,
        }  # fmt: skip
        settings, network = _settings(home, {name: value for name, value in given.items() if value}, deployment)
        settings.save(home)
        where = NodePlace(home)
        units = _stake_units(where.chain, settings, network)
        owner, node = (_open_or_create(file) for file in (where.owner_key, home / NODE_KEY))
        goal = Goal(settings.payout, units)
        account = join(where.chain, Sender(where.chain.w3, owner), node, goal, on_step=console.print)
        console.print(f"node {node.address} serves for operator {account.operator_id}")
        show_account(where.chain, account)
        if settings.backend is not None:
            _fetch_models(settings)
        console.print("next: `assay node doctor`, then `assay node canary` for a first paid job, then `assay node run`")


def _settings(
    home: Path, given: dict[str, object], deployment_file: Path | None
) -> tuple[HomeSettings, NetworkInfo | None]:
    """What was given over what an earlier run kept; the deployment from its file, or found through the backend.

    Raises:
        BadSetting: no RPC URL, or neither a deployment file nor a backend.
        ForeignBackend: the backend says otherwise than the chain.
        WrongChain: backend and RPC are on different chains.
    """
    from contracts.onchain.deployment import Deployment
    from node_agent.app import require_same_deployment
    from node_agent.home import HomeSettings, load_settings

    kept = load_settings(home)
    fields = {**(kept.model_dump() if kept else {}), **given}
    if "rpc" not in fields:
        raise BadSetting("No chain is known.", way_out="Give --rpc URL.", option="--rpc")
    url = fields.get("backend")
    network = _network(str(url)) if url else None
    deployment = Deployment.load(deployment_file) if deployment_file else kept.deployment if kept else None
    if network is not None and (deployment is None or "backend" in given):
        deployment = deployment if deployment_file and deployment else _discovered(str(fields["rpc"]), network)
    if deployment is None:
        raise BadSetting("No deployment is known.", way_out="Give --backend URL, or --deployment FILE.", option="")
    if network is not None:
        require_same_deployment(network, deployment, str(url))
    return HomeSettings.model_validate({**fields, "deployment": deployment}), network


def _network(url: str) -> NetworkInfo:
    from node_agent.session.backend_api import BackendApi

    with closing(BackendApi(url, attempts=2)) as api:
        return api.network()


def _discovered(rpc: str, network: NetworkInfo) -> Deployment:
    """What the chain says of the escrow that the backend names: its word is taken for that one address alone."""
    from contracts.onchain.chain import connect
    from contracts.onchain.discovery import deployment_of
    from contracts.onchain.errors import WrongChain

    w3 = connect(rpc)
    chain_id = w3.eth.chain_id
    if chain_id != network.chain_id:
        raise WrongChain(expected=network.chain_id, found=chain_id, rpc_url=rpc)
    found = deployment_of(w3, network.escrow)
    console.print(f"escrow {found.escrow} on chain {chain_id}: compare it with what the network publishes")
    return found


def _stake_units(chain: Chain, settings: HomeSettings, network: NetworkInfo | None) -> int:
    from node_agent.session.registration import proposed_stake_units
    from node_agent.where import tokens_of, units_of

    if settings.stake is not None:
        return units_of(chain, settings.stake, least=0)
    if network is None:
        return 0
    units = proposed_stake_units(network.price_sheet, chain.deployment.constants.penalty_multiple)
    console.print(f"stake: {tokens_of(chain, units)}, for ten jobs at once at today's prices (--stake for another)")
    return units


def _open_or_create(path: Path) -> Signer:
    from contracts.onchain.keystore import create_key, load_key
    from node_agent.home import password

    return load_key(path, password()) if path.exists() else create_key(path, password())


def _fetch_models(settings: HomeSettings) -> None:
    """Pulls the models of the offered workloads that the store knows where to get."""
    from node_agent.models import ModelStore
    from node_agent.session.backend_api import BackendApi

    assert settings.backend is not None, "asked for with a backend only"
    store = ModelStore(Path(settings.models) if settings.models else None)
    with closing(BackendApi(settings.backend)) as api:
        digests = {e.model: api.manifest(e.workload_id).weights_sha256 for e in api.network().price_sheet}
    for model, digest in digests.items():
        for name, source in store.sources.items():
            if source.weights_sha256 == digest:
                console.print(f"model {name} of the workload {model}")
                store.pull(name, lambda step: console.print(f"  {step}"))
