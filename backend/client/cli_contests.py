"""`assay contests` and `assay jobs contest`: demand proof that a charge was ordered and delivered."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.client.errors import NotConfigured
from backend.client.options import ON_CHAIN, WITH_BACKEND, ClientPlace, client_command

if TYPE_CHECKING:
    from backend.client.contests import Contests, ContestView
    from contracts.onchain.sender import Sender
    from contracts.protocol.amounts import TokenScale
    from contracts.record.log_source import LogSource

contests_app = typer.Typer(
    help="Contests of charges. Anyone may list them, any funded key may open, answer and end one.", no_args_is_help=True
)

EpochArgument = Annotated[int, typer.Argument(min=1, help="the epoch, from 1")]
RowArgument = Annotated[int, typer.Argument(min=0, help="the epoch's row, from 0")]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="the key file that pays; by default requester.json in HOME")
]
LogOption = Annotated[
    str | None, typer.Option("--log", envvar="ASSAY_LOG_URL", help="the published log: a URL or a folder")
]


@client_command(contests_app, "list", "deployment", "rpc")
def list_contests(where: ClientPlace) -> None:
    """Lists every contest with its status."""
    from backend.client.contest_words import show_contests
    from backend.client.contests import Contests
    from backend.client.wallet import scale_of

    chain = where.chain()
    show_contests(Contests(chain).all(), scale_of(chain))


@client_command(contests_app, "open", *ON_CHAIN)
def open_contest(where: ClientPlace, epoch_id: EpochArgument, row: RowArgument, key: KeyOption = None) -> None:
    """Contests a charge. Stakes a bond: you get it back if nobody answers, otherwise the answerer gets it."""
    _change(where, key, lambda contests, sender: contests.open(sender, epoch_id, row))


@client_command(contests_app, "answer", *WITH_BACKEND)
def answer(
    where: ClientPlace, epoch_id: EpochArgument, row: RowArgument, key: KeyOption = None, log: LogOption = None
) -> None:
    """Answers a contest with the published log. Earns the contester's bond; nodes protect their income with it."""
    _change(where, key, lambda contests, sender: contests.answer(sender, epoch_id, row, _log(log, where)))


@client_command(contests_app, "finish", *ON_CHAIN)
def finish(where: ClientPlace, epoch_id: EpochArgument, row: RowArgument, key: KeyOption = None) -> None:
    """Ends a contest that nobody answered: refunds the charge, or returns just the bond if that is too late."""
    _change(where, key, lambda contests, sender: contests.finish(sender, epoch_id, row))


def contest_order(
    where: ClientPlace, order_id: Annotated[str, typer.Argument(help="the order's id, in full")], log: LogOption = None
) -> None:
    """Contests the charge of an order. Run it again to take the next step, until the contest is over.

    If the order was charged more often than it allows, the surplus is refunded at once, without a bond.
    """
    from backend.client.contest_words import print_contest, take_step

    contests, sender, scale = _open(where, None)
    charges = contests.charges_of(order_id, _log(log, where))
    views = [contests.view(charge.epoch_id, charge.index) for charge in charges]
    if len(charges) > 1 and (refunded := contests.refund_duplicate(sender, charges)) is not None:
        print_contest(refunded, scale)
        return
    for view in views:
        take_step(contests, sender, view, order_id, scale)


def _change(where: ClientPlace, key: Path | None, act: "Callable[[Contests, Sender], ContestView]") -> None:
    from backend.client.contest_words import print_contest

    contests, sender, scale = _open(where, key)
    print_contest(act(contests, sender), scale)


def _open(where: ClientPlace, key: Path | None) -> "tuple[Contests, Sender, TokenScale]":
    from backend.client.contests import Contests
    from backend.client.wallet import scale_of
    from contracts.onchain.sender import Sender

    signer, chain = where.key(key), where.chain()
    return Contests(chain), Sender(chain.w3, signer), scale_of(chain)


def _log(log: str | None, where: ClientPlace) -> "LogSource":
    from contracts.record.log_source import open_source

    if log is None and where.backend is None:
        raise NotConfigured(option="--log or --backend", variable="ASSAY_BACKEND", what="the published log")
    return open_source(log or f"{where.backend}/v1/log")
