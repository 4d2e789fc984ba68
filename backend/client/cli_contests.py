"""`assay contests`, and `assay jobs contest`: "show that this charge was ordered and delivered"."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from backend.client.contests import Contests, ContestView
from backend.client.errors import NotConfigured, Untrue
from backend.client.jobs import read_answer
from backend.client.log_source import LogSource
from backend.client.options import BackendOption, DeploymentOption, HomeOption, RpcOption, Where
from backend.client.wallet import scale_of
from contracts.onchain.charges import ContestStatus
from contracts.onchain.sender import Sender
from contracts.protocol.amounts import TokenScale

contests_app = typer.Typer(
    help="Contests of charges: read by anyone, opened, answered and ended with any funded key.", no_args_is_help=True
)

EpochArgument = Annotated[int, typer.Argument(min=1, help="the epoch, from 1")]
RowArgument = Annotated[int, typer.Argument(min=0, help="its row, from 0")]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="a key file that pays; requester.json of the folder if not given")
]
LogOption = Annotated[
    str | None, typer.Option("--log", envvar="ASSAY_LOG_URL", help="the published log: a URL or a folder")
]

_WORDS = {
    ContestStatus.NONE: "not contested",
    ContestStatus.OPEN: "open: the order and the output must be shown on chain until {answer_ends}",
    ContestStatus.UNANSWERED: "unanswered: the charge can be refunded until {resolve_ends}",
    ContestStatus.OVERDUE: "unanswered, and not refunded by {resolve_ends}: the charge stands, the bond can be fetched",
    ContestStatus.ANSWERED: "answered: the order, its price and the delivery were shown on chain; the charge stands",
    ContestStatus.REFUNDED: "refunded: {refund} came back into the lane out of the settler's bond",
    ContestStatus.LAPSED: "lapsed: the bond went back to the contester, the charge stands",
}
_NEXT = {
    ContestStatus.OPEN: "If nobody shows them, run this again between {answer_ends} and {resolve_ends}: the charge "
    "comes back out of the settler's bond, and your bond with it. If somebody does, run it again to read the output.",
}


@contests_app.command("list")
def list_contests(deployment: DeploymentOption = None, rpc: RpcOption = None) -> None:
    """Lists every contest, and how it stands."""
    chain = Where(None, rpc, deployment).chain()
    contests, scale = Contests(chain), scale_of(chain)
    table = Table("epoch", "row", "contester", "how it stands", show_edge=False)
    found = contests.all()
    for view in found:
        table.add_row(str(view.epoch_id), str(view.index), view.contester, _in_words(view, scale))
    Console().print(table if found else "No charge was ever contested.")


@contests_app.command("open")
def open_contest(
    epoch_id: EpochArgument,
    row: RowArgument,
    key: KeyOption = None,
    home: HomeOption = None,
    deployment: DeploymentOption = None,
    rpc: RpcOption = None,
) -> None:
    """Contests a charge. Stakes the bond on it: back if nobody answers, the answerer's if somebody does."""
    contests, sender, scale = _open(Where(home, rpc, deployment), key)
    _print(contests.open(sender, epoch_id, row), scale)


@contests_app.command("answer")
def answer(
    epoch_id: EpochArgument,
    row: RowArgument,
    key: KeyOption = None,
    log: LogOption = None,
    home: HomeOption = None,
    deployment: DeploymentOption = None,
    backend: BackendOption = None,
    rpc: RpcOption = None,
) -> None:
    """Answers a contest out of the published log, as any node may for its income. Earns the contester's bond."""
    contests, sender, scale = _open(Where(home, rpc, deployment), key)
    _print(contests.answer(sender, epoch_id, row, _log(log, backend)), scale)


@contests_app.command("finish")
def finish(
    epoch_id: EpochArgument,
    row: RowArgument,
    key: KeyOption = None,
    home: HomeOption = None,
    deployment: DeploymentOption = None,
    rpc: RpcOption = None,
) -> None:
    """Ends a contest that nobody answered: refunds the charge, or, when it is too late for that, returns the bond."""
    contests, sender, scale = _open(Where(home, rpc, deployment), key)
    _print(contests.finish(sender, epoch_id, row), scale)


def contest_order(
    order_id: Annotated[str, typer.Argument(help="the order's whole id")],
    log: LogOption = None,
    home: HomeOption = None,
    deployment: DeploymentOption = None,
    backend: BackendOption = None,
    rpc: RpcOption = None,
) -> None:
    """Contests what was charged for an order, and takes the next step each time it is run until the contest is over.

    An order that was charged more often than it allows is refunded at once, without a bond.
    """
    where = Where(home, rpc, deployment, backend)
    contests, sender, scale = _open(where, None)
    charges = contests.charges_of(order_id, _log(log, backend))
    views = [contests.view(charge.epoch_id, charge.index) for charge in charges]
    if len(charges) > 1 and (refunded := contests.refund_duplicate(sender, charges)) is not None:
        _print(refunded, scale)
        return
    for view in views:
        _step(contests, sender, view, scale)


def _step(contests: Contests, sender: Sender, view: ContestView, scale: TokenScale) -> None:
    if view.status is ContestStatus.NONE and view.refund_units is None:
        view = contests.open(sender, view.epoch_id, view.index)
    elif view.status in (ContestStatus.UNANSWERED, ContestStatus.OVERDUE):
        view = contests.finish(sender, view.epoch_id, view.index)
    _print(view, scale)
    if view.status is ContestStatus.ANSWERED:
        _print_output(contests.shown_output(view))


def _print_output(output: bytes) -> None:
    """What stands on chain, as text where it is an answer's, else as it is."""
    try:
        shown = read_answer(output).text if output else "(the order is restricted: its output was not shown)"
    except Untrue:
        shown = output.decode(errors="backslashreplace")
    typer.echo(shown)


def _open(where: Where, key: Path | None) -> tuple[Contests, Sender, TokenScale]:
    signer, chain = where.key(key), where.chain()
    return Contests(chain), Sender(chain.w3, signer), scale_of(chain)


def _log(log: str | None, backend: str | None) -> LogSource:
    if log is None and backend is None:
        raise NotConfigured(option="--log or --backend", variable="ASSAY_BACKEND", what="where the published log is")
    return LogSource(log or f"{backend}/v1/log")


def _print(view: ContestView, scale: TokenScale) -> None:
    words = f"row {view.index} of epoch {view.epoch_id} is {_in_words(view, scale)}"
    following = _NEXT.get(view.status, "").format(**_times(view))
    Console(soft_wrap=True, highlight=False).print(f"{words}\n{following}".strip(), markup=False)


def _in_words(view: ContestView, scale: TokenScale) -> str:
    if view.status is ContestStatus.NONE and view.refund_units is not None:
        return f"a duplicate: {scale.show(view.refund_units)} came back into the lane out of the settler's bond"
    return _WORDS[view.status].format(refund=scale.show(view.refund_units or 0), **_times(view))


def _times(view: ContestView) -> dict[str, str]:
    return {"answer_ends": _time(view.answer_ends), "resolve_ends": _time(view.resolve_ends)}


def _time(seconds: int | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds).isoformat(sep=" ")
