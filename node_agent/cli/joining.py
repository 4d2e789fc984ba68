"""`assay keys new`, `assay node keys`, `assay node init`."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.protocol.amounts import amount_or_zero
from node_agent.cli.options import DeviceOption, ModelsOption, console, keys_app, node_command
from node_agent.errors import BadSetting

if TYPE_CHECKING:
    from contracts.onchain.chain import Chain
    from contracts.onchain.deployment import Deployment
    from contracts.protocol.signing import Signer
    from contracts.protocol.wire import NetworkInfo
    from node_agent.home import HomeSettings
    from node_agent.where import NodePlace


@keys_app.command("new")
def new_key(file: Annotated[Path, typer.Argument(help="Where to write it; a file is never overwritten.")]) -> None:
    """Make a key, write it encrypted with ASSAY_PASSWORD, and print its address."""
    from contracts.onchain.keystore import create_key
    from node_agent.home import password

    typer.echo(create_key(file, password()).address)


@keys_app.callback()
def _keys() -> None:
    """Make encrypted key files."""


@node_command("owner_key")
def keys(where: "NodePlace") -> None:
    """Make the node's and the owner's key if they are missing, and show the addresses."""
    from node_agent.home import NODE_KEY, address_in

    for name, path in (("node", where.home / NODE_KEY), ("owner", where.owner_key)):
        address = address_in(path) if path.exists() else _open_or_create(path).address
        console.print(f"{name:<6} {address}  {path}")


@node_command("backend", "rpc", "deployment", "owner_key")
def init(
    where: "NodePlace",
    stake: Annotated[
        str | None,
        typer.Option(
            help="Bring the stake up to this many tokens; default: enough for ten open jobs.", callback=amount_or_zero
        ),
    ] = None,
    payout: Annotated[str | None, typer.Option(help="Address that claims go to; default: the owner's.")] = None,
    workload: Annotated[list[str] | None, typer.Option(help="Serve only this workload. Repeatable.")] = None,
    models: ModelsOption = None,
    device: DeviceOption = None,
) -> None:
    """Make the keys, register, stake, fetch the models. Says what to fund; run it again, without options, to go on."""
    from eth_utils.address import is_address

    from contracts.onchain.sender import Sender
    from node_agent.cli.show import show_account
    from node_agent.home import NODE_KEY
    from node_agent.session.registration import join
    from node_agent.where import NodePlace

    if payout is not None and not is_address(payout):
        raise BadSetting(f"--payout {payout} is no address.", way_out="Give 0x and 40 hex digits.", payout=payout)
    given = {
        "rpc": where.rpc_option, "backend": where.backend_option, "workloads": workload,
        "models": str(models) if models else None, "device": device,
        "owner_key": str(where.owner_key_option) if where.owner_key_option else None,
        "payout": payout.lower() if payout else None, "stake": stake,
    }  # fmt: skip
    settings, network = _settings(where, {name: value for name, value in given.items() if value})
    settings.save(where.home)
    place = NodePlace(where.home)
    units = _stake_units(place.chain, settings, network)
    owner, node = (_open_or_create(file) for file in (place.owner_key, place.home / NODE_KEY))
    account = join(place.chain, Sender(place.chain.w3, owner), node, settings.payout, units, console.print)
    console.print(f"node {node.address} serves for operator {account.operator_id}")
    show_account(place.chain, account)
    if settings.backend is not None:
        _fetch_models(settings, settings.backend)
    console.print("next: `assay node doctor`, then `assay node canary` for a first paid job, then `assay node run`")


def _settings(where: "NodePlace", given: dict[str, object]) -> "tuple[HomeSettings, NetworkInfo | None]":
    """The options over what an earlier run kept; the deployment from its file, or found through the backend.

    Raises BadSetting for a missing option, ForeignBackend or WrongChain if backend and chain contradict each other.
    """
    from contracts.onchain.deployment import Deployment
    from node_agent.app import require_same_deployment
    from node_agent.home import HomeSettings

    kept, file = where.settings, where.deployment_option
    fields = {**(kept.model_dump() if kept else {}), **given}
    if "rpc" not in fields:
        raise BadSetting("No chain is known.", way_out="Give --rpc URL.", option="--rpc")
    url = fields.get("backend")
    network = _network(str(url)) if url else None
    deployment = Deployment.load(file) if file else kept.deployment if kept else None
    if network is not None and not file and (deployment is None or "backend" in given):
        deployment = _discovered(str(fields["rpc"]), network)
    if deployment is None:
        raise BadSetting("No deployment is known.", way_out="Give --backend URL, or --deployment FILE.", option="")
    if network is not None:
        require_same_deployment(network, deployment, str(url))
    return HomeSettings.model_validate({**fields, "deployment": deployment}), network


def _network(url: str) -> "NetworkInfo":
    from node_agent.session.backend_api import BackendApi

    with closing(BackendApi(url, attempts=2)) as api:
        return api.network()


def _discovered(rpc: str, network: "NetworkInfo") -> "Deployment":
    """The deployment as the chain describes it. Only the escrow's address is taken from the backend."""
    from contracts.onchain.chain import connect
    from contracts.onchain.discovery import deployment_of
    from contracts.onchain.errors import WrongChain

    w3 = connect(rpc)
    chain_id = w3.eth.chain_id
    if chain_id != network.chain_id:
        raise WrongChain(expected=network.chain_id, found=chain_id, rpc_url=rpc)
    found = deployment_of(w3, network.escrow)
    console.print(f"escrow {found.escrow} on chain {chain_id}: compare it with the address that the network publishes")
    return found


def _stake_units(chain: "Chain", settings: "HomeSettings", network: "NetworkInfo | None") -> int:
    from node_agent.session.registration import proposed_stake_units
    from node_agent.where import tokens_of, units_of

    if settings.stake is not None:
        return units_of(chain, settings.stake, least=0)
    if network is None:
        return 0
    units = proposed_stake_units(network.price_sheet, chain.deployment.constants.penalty_multiple)
    console.print(f"stake: {tokens_of(chain, units)}, for ten jobs at once at today's prices (--stake changes it)")
    return units


def _open_or_create(path: Path) -> "Signer":
    from contracts.onchain.keystore import create_key, load_key
    from node_agent.home import password

    return load_key(path, password()) if path.exists() else create_key(path, password())


def _fetch_models(settings: "HomeSettings", backend: str) -> None:
    """Pulls the models of the offered workloads that the store has a source for."""
    from node_agent.models import ModelStore
    from node_agent.session.backend_api import BackendApi

    store = ModelStore(Path(settings.models) if settings.models else None)
    with closing(BackendApi(backend)) as api:
        digests = {e.model: api.manifest(e.workload_id).weights_sha256 for e in api.network().price_sheet}
    for model, digest in digests.items():
        for name, source in store.sources.items():
            if source.weights_sha256 == digest:
                console.print(f"model {name} of the workload {model}")
                store.pull(name, lambda step: console.print(f"  {step}"))
