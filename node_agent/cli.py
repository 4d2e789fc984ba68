"""`assay node`: join as an operator, serve, and draw what was earned. `assay keys`: encrypted key files.

The node's hot key signs commitments; the owner's key is opened by `init`, `stake`, `claim` and `settle` alone, so it
may lie elsewhere (--owner-key). The password of both comes from ASSAY_PASSWORD and from nowhere else.
"""

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

import typer
from eth_utils.address import is_address
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.errors import ChainError
from contracts.onchain.keystore import KeystoreError, create_key, load_key
from contracts.onchain.sender import Sender
from contracts.protocol.signing import Signer
from node_agent.app import JOURNAL, NODE_KEY, OWNER_KEY, NodeSettings, require_registered, run_node
from node_agent.errors import AgentError, BadSetting, NotSettleable, PasswordMissing
from node_agent.execution.errors import ExecutionError
from node_agent.session.chain_facts import OnchainFacts, call
from node_agent.session.earnings import Account, claim, read_account, settle_one, settleable
from node_agent.session.journal import Journal
from node_agent.session.lease import PriceFloor
from node_agent.session.registration import add_stake, join

node_app = typer.Typer(help="Serve jobs as an operator's node.", no_args_is_help=True)
keys_app = typer.Typer(help="Make encrypted key files.", no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="ASSAY_HOME", help="Folder of this node's keys and journal.")
]
RpcOption = Annotated[str, typer.Option("--rpc", envvar="ASSAY_RPC", help="JSON-RPC URL of the chain.")]
DeploymentOption = Annotated[Path, typer.Option("--deployment", envvar="ASSAY_DEPLOYMENT", help="deployment.json")]
OwnerKeyOption = Annotated[
    Path | None, typer.Option("--owner-key", envvar="ASSAY_OWNER_KEY", help="The owner's key file; HOME/owner.json.")
]


@keys_app.command("new")
def new_key(file: Annotated[Path, typer.Argument(help="Where to write it; a file is never overwritten.")]) -> None:
    """Make a key, write it encrypted with ASSAY_PASSWORD, and print its address."""
    with _explained():
        typer.echo(create_key(file, _password()).address)


@keys_app.callback()
def _keys() -> None:
    """Make encrypted key files."""


@node_app.command()
def keys(home: HomeOption, owner_key: OwnerKeyOption = None) -> None:
    """Make the node's and the owner's key if they are missing, and show the addresses: fund the owner, then init."""
    with _explained():
        for name, path in (("node", home / NODE_KEY), ("owner", owner_key or home / OWNER_KEY)):
            address = _address_in(path) if path.exists() else create_key(path, _password()).address
            console.print(f"{name:<6} {address}  {path}")


@node_app.command()
def init(
    home: HomeOption,
    rpc: RpcOption,
    deployment: DeploymentOption,
    stake: Annotated[str, typer.Option(help="Bring the stake up to so many tokens.")] = "0",
    payout: Annotated[str | None, typer.Option(help="Address that claims go to; the owner's if not given.")] = None,
    owner_key: OwnerKeyOption = None,
) -> None:
    """Make the keys, register the operator, add the node's key and stake. May be run again after a failure."""
    with _explained():
        chain, path = _chain(rpc, deployment), owner_key or home / OWNER_KEY
        units = _units(chain, stake)
        owner, node = (_open_or_create(file) for file in (path, home / NODE_KEY))
        if payout is not None and not is_address(payout):
            raise BadSetting(f"--payout {payout} is no address.", way_out="Give 0x and 40 hex digits.", payout=payout)
        sender = Sender(chain.w3, owner)
        account = join(chain, sender, node, payout=payout or owner.address, stake_units=units, on_step=console.print)
        console.print(f"node {node.address} serves for operator {account.operator_id}")
        _show(chain, account)


@node_app.command()
def run(
    home: HomeOption,
    rpc: RpcOption,
    deployment: DeploymentOption,
    backend: Annotated[str, typer.Option(envvar="ASSAY_BACKEND", help="Base URL of the backend.")],
    workload: Annotated[list[str], typer.Option(help="A workload id, or a manifest's file. May be given again.")],
    models: Annotated[Path | None, typer.Option(envvar="ASSAY_MODELS", help="Folder of the model store.")] = None,
    device: Annotated[str | None, typer.Option(envvar="ASSAY_DEVICE", help="cpu, cuda or cuda:N.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; part of the numeric class, which has one.")] = 1,
    min_fixed_price: Annotated[int, typer.Option(min=0, help="Least units a job.")] = 0,
    min_unit_price: Annotated[int, typer.Option(min=0, help="Least units a unit of work.")] = 0,
    max_unrooted: Annotated[int, typer.Option(min=0, help="Overdue delivered jobs to bear.")] = 3,
    poll_s: Annotated[float, typer.Option(min=0.05, help="Pause between questions for a job, seconds.")] = 2.0,
) -> None:
    """Serve jobs until SIGTERM or SIGINT; the job under way is finished, a second signal abandons it."""
    _log_to_stderr()
    with _explained():
        if threads != 1:
            raise BadSetting(
                f"--threads {threads}: float engines compute with one CPU thread, others give other bits.",
                way_out="Leave it at 1 and run one node a core.",
                threads=threads,
            )
        settings = NodeSettings(
            home=home,
            rpc_url=rpc,
            deployment=_deployment(deployment),
            backend_url=backend,
            workloads=tuple(workload),
            password=_password(),
            models=models,
            device=device,
            floor=PriceFloor(min_fixed_price, min_unit_price),
            max_unrooted=max_unrooted,
            poll_s=poll_s,
        )
        run_node(settings)


@node_app.command()
def stake(
    tokens: Annotated[str, typer.Argument(help="How many tokens to add.")],
    home: HomeOption,
    rpc: RpcOption,
    deployment: DeploymentOption,
    owner_key: OwnerKeyOption = None,
) -> None:
    """Add to the operator's stake."""
    with _explained():
        chain = _chain(rpc, deployment)
        operator_id = _operator_id(chain, home)
        add_stake(chain, _owner(chain, home, owner_key), operator_id, _units(chain, tokens), console.print)
        _show(chain, read_account(chain, operator_id))


@node_app.command()
def status(home: HomeOption, rpc: RpcOption, deployment: DeploymentOption) -> None:
    """Show the operator's account on chain and what the journal holds. Needs neither backend nor password."""
    with _explained():
        chain = _chain(rpc, deployment)
        journal = _journal(chain, home)
        _show(chain, read_account(chain, _operator_id(chain, home)))
        console.print(f"undelivered answers        {len(journal.pending())}")
        console.print(f"delivered, without a root  {len(journal.unrooted())}")
        console.print(f"under a root               {len(journal.rooted())}")
        for answer in journal.refused():
            console.print(f"refused: {answer.order_id}: {answer.refusal}", markup=False)


@node_app.command()
def earnings(home: HomeOption, rpc: RpcOption, deployment: DeploymentOption) -> None:
    """Show what was earned, claimed, staked and locked, as the chain has it."""
    with _explained():
        chain = _chain(rpc, deployment)
        _show(chain, read_account(chain, _operator_id(chain, home)))


@node_app.command("claim")
def claim_command(
    home: HomeOption, rpc: RpcOption, deployment: DeploymentOption, owner_key: OwnerKeyOption = None
) -> None:
    """Draw everything that was credited to the payout address."""
    with _explained():
        chain = _chain(rpc, deployment)
        operator_id = _operator_id(chain, home)
        paid = claim(chain, _owner(chain, home, owner_key), operator_id)
        console.print(f"claimed {_tokens(chain, paid)} to {read_account(chain, operator_id).payout}")


@node_app.command()
def settle(
    home: HomeOption,
    rpc: RpcOption,
    deployment: DeploymentOption,
    order_id: Annotated[list[str] | None, typer.Argument(help="Orders to settle; all that wait if none.")] = None,
    owner_key: OwnerKeyOption = None,
) -> None:
    """Settle delivered jobs of stranded epochs, or of skipped lanes, without the backend."""
    with _explained():
        chain = _chain(rpc, deployment)
        journal, operator_id = _journal(chain, home), _operator_id(chain, home)
        answers = settleable(chain, journal.rooted())
        if order_id:
            answers = [found for name in order_id if (found := journal.find(name)) is not None]
            if len(answers) < len(order_id):
                raise NotSettleable(
                    f"The journal in {home} lacks some of {order_id}.", way_out="Check the ids.", order_ids=order_id
                )
        sender = _owner(chain, home, owner_key)
        for answer in answers:
            settle_one(chain, sender, answer, operator_id)
            console.print(f"settled {answer.order_id}")
        console.print(f"{len(answers)} jobs settled one by one")


@contextmanager
def _explained() -> Iterator[None]:
    """Known errors end the command with their code and words, without a trace."""
    try:
        yield
    except (AgentError, ExecutionError, ChainError, KeystoreError) as error:
        console.print(f"[red]{error.code}[/red] ", end="")
        console.print(str(error), markup=False)
        raise typer.Exit(1) from error


def _password() -> str:
    password = os.environ.get("ASSAY_PASSWORD")
    if not password:
        raise PasswordMissing("ASSAY_PASSWORD is not set.", way_out="Set it to the key file's password.")
    return password


def _open_or_create(path: Path) -> Signer:
    return load_key(path, _password()) if path.exists() else create_key(path, _password())


def _address_in(path: Path) -> str:
    """The address that a key file names, which needs no password."""
    try:
        return "0x" + str(json.loads(path.read_text())["address"]).lower().removeprefix("0x")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise KeystoreError(f"{path} is no key file: {error!r}; make one with `assay keys new`") from error


def _deployment(path: Path) -> Deployment:
    try:
        return Deployment.load(path)
    except (OSError, ValidationError) as error:
        raise BadSetting(
            f"{path} is no deployment file: {error}.", way_out="Give the deployment.json of the network.", path=path
        ) from error


def _chain(rpc: str, deployment: Path) -> Chain:
    return Chain.open(rpc, _deployment(deployment))


def _owner(chain: Chain, home: Path, owner_key: Path | None) -> Sender:
    return Sender(chain.w3, load_key(owner_key or home / OWNER_KEY, _password()))


def _operator_id(chain: Chain, home: Path) -> int:
    return require_registered(OnchainFacts(chain), _address_in(home / NODE_KEY))


def _journal(chain: Chain, home: Path) -> Journal:
    return Journal(home / JOURNAL, node=_address_in(home / NODE_KEY), domain=chain.deployment.domain)


def _units(chain: Chain, tokens: str) -> int:
    """Units of so many tokens. Raises BadSetting for what is no amount or no whole number of units."""
    unit_wei = chain.deployment.constants.unit_wei
    try:
        wei = Decimal(tokens).scaleb(call(chain.token.functions.decimals()))
    except InvalidOperation as error:
        raise BadSetting(f"{tokens!r} is no amount.", way_out="Give tokens, e.g. 12.5", tokens=tokens) from error
    if not wei.is_finite() or wei < 0 or wei % unit_wei != 0:
        raise BadSetting(
            f"{tokens} tokens are no whole number of units of {unit_wei} base units.",
            way_out="Give a positive amount with fewer decimals.",
            tokens=tokens,
        )
    return int(wei) // unit_wei


def _tokens(chain: Chain, units: int) -> str:
    wei = Decimal(units * chain.deployment.constants.unit_wei)
    return f"{wei.scaleb(-call(chain.token.functions.decimals())).normalize():f} tokens"


def _show(chain: Chain, account: Account) -> None:
    table = Table("operator", str(account.operator_id), show_edge=False)
    table.add_row("owner", account.owner)
    table.add_row("payout", account.payout)
    for name in ("earned", "claimed", "claimable", "stake", "unbonding", "locked"):
        table.add_row(name, _tokens(chain, getattr(account, f"{name}_units")))
    console.print(table)


def _log_to_stderr() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
