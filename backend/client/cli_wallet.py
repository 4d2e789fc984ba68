"""`assay wallet`: a requester's money at the command line. Amounts in tokens."""

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from backend.client.cli_sessions import session_app
from backend.client.errors import NotWithdrawable, TooLittle
from backend.client.options import ON_CHAIN, ClientPlace, JsonOption, client_command, time_of
from contracts.protocol.amounts import TokenScale, amount_or_all, positive_amount

if TYPE_CHECKING:
    from backend.client.wallet import Wallet
    from contracts.protocol.lane import Lane

wallet_app = typer.Typer(help="Moves tokens into and out of lanes.", no_args_is_help=True)
wallet_app.add_typer(session_app, name="session")

LaneSigner = Annotated[str | None, typer.Option(help="signer of a session lane; by default the wallet's own lane")]


@client_command(wallet_app, "deposit", *ON_CHAIN, context_settings={"ignore_unknown_options": True})
def deposit(
    where: ClientPlace,
    amount: Annotated[str, typer.Argument(help="tokens, e.g. 1.5", callback=positive_amount)],
    signer: LaneSigner = None,
) -> None:
    """Moves tokens from the wallet into a lane."""
    wallet = where.wallet()
    scale = wallet.scale()
    units, held = scale.parse(amount), wallet.holdings().units
    if units > held:
        raise TooLittle(what="the wallet", has=scale.show(held), asked=scale.show(units))
    wallet.deposit(units, signer)
    _print_lanes(wallet, _one(wallet, signer), scale)


@client_command(wallet_app, "lanes", *ON_CHAIN)
def lanes(where: ClientPlace, as_json: JsonOption = False) -> None:
    """Shows this wallet's lanes and what it holds outside them."""
    wallet = where.wallet()
    found = wallet.lanes()
    if as_json:
        shown = [{"signer": signer, **asdict(lane)} for signer, lane in found.items()]
        typer.echo(json.dumps({"wallet": asdict(wallet.holdings()), "requester": wallet.address, "lanes": shown}))
    else:
        _print_lanes(wallet, found, wallet.scale())


@client_command(wallet_app, "notice", *ON_CHAIN)
def notice(
    where: ClientPlace,
    signer: LaneSigner = None,
    cancel: Annotated[bool, typer.Option("--cancel", help="cancel the notice")] = False,
) -> None:
    """Gives notice of a withdrawal. The lane's orders are refused until the notice lapses."""
    wallet = where.wallet()
    if cancel:
        wallet.cancel_notice(signer)
    else:
        wallet.give_notice(signer)
    _print_lanes(wallet, _one(wallet, signer), wallet.scale())


@client_command(wallet_app, "withdraw", *ON_CHAIN, context_settings={"ignore_unknown_options": True})
def withdraw(
    where: ClientPlace,
    amount: Annotated[str, typer.Argument(help="tokens, e.g. 1.5, or `all`", callback=amount_or_all)],
    signer: LaneSigner = None,
    to: Annotated[str | None, typer.Option(help="address to pay; by default the wallet")] = None,
) -> None:
    """Moves tokens out of a lane whose notice is mature."""
    wallet = where.wallet()
    scale, lane = wallet.scale(), wallet.lane(signer)
    units = lane.balance if amount == "all" else scale.parse(amount)
    _require_mature(lane.withdrawable(wallet.constants), int(time.time()))
    if units > lane.balance:
        raise TooLittle(what="the lane", has=scale.show(lane.balance), asked=scale.show(units))
    wallet.withdraw(units, to, signer)
    _print_lanes(wallet, _one(wallet, signer), scale)


@client_command(wallet_app, "export-key", "home")
def export_key(where: ClientPlace) -> None:
    """Prints the wallet's private key, for a browser wallet. Whoever sees it can spend everything."""
    key = where.key()
    Console(stderr=True).print(f"The private key of {key.address}: whoever sees it owns the wallet.", soft_wrap=True)
    typer.echo("0x" + key.private_key().hex())


def _one(wallet: "Wallet", signer: str | None) -> "dict[str, Lane]":
    return {(signer or wallet.address).lower(): wallet.lane(signer)}


def _require_mature(window: tuple[int, int] | None, now_s: int) -> None:
    """Raises NotWithdrawable with the way out, before the contract would revert."""
    if window is None:
        raise NotWithdrawable("no notice was given for this lane", way_out="run `assay wallet notice` first, then wait")
    ripe, until = window
    if now_s < ripe:
        raise NotWithdrawable(
            f"the notice matures at {time_of(ripe)}, in {ripe - now_s} s", way_out="run this again then"
        )
    if now_s >= until:
        raise NotWithdrawable(
            f"the notice lapsed at {time_of(until)}", way_out="run `assay wallet notice` again, then wait"
        )


def _print_lanes(wallet: "Wallet", found: "dict[str, Lane]", scale: TokenScale) -> None:
    table = Table("lane's signer", "balance", "charged so far", "expires", "withdrawable", show_edge=False)
    for signer, lane in found.items():
        window = lane.withdrawable(wallet.constants)
        when = "after `assay wallet notice`" if window is None else " to ".join(map(time_of, window))
        expires = time_of(lane.expiry) if lane.expiry else "never"
        table.add_row(signer, scale.show(lane.balance), scale.show(lane.charged), expires, when)
    table.columns[0].overflow = "fold"
    Console().print(table)
    holdings = wallet.holdings()
    ether = TokenScale(18, 1, "ether").show(holdings.ether_wei)
    Console(soft_wrap=True).print(
        f"outside the lanes, wallet {wallet.address} holds {scale.show(holdings.units)} and {ether} for gas",
        highlight=False,
    )
