"""Prints contests: their status, the next step, and the output that was shown on chain."""

import typer
from rich.console import Console
from rich.table import Table

from backend.client.contests import Contests, ContestView
from backend.client.options import time_of
from contracts.onchain.errors import Reverted
from contracts.onchain.sender import Sender
from contracts.protocol.amounts import TokenScale
from contracts.protocol.packed import unpack
from contracts.record.charges import ContestStatus

_WORDS = {
    ContestStatus.NONE: "not contested",
    ContestStatus.OPEN: "open: the order and its output must be shown on chain by {answer_ends}",
    ContestStatus.UNANSWERED: "unanswered: the charge can be refunded until {resolve_ends}",
    ContestStatus.OVERDUE: "unanswered, not refunded by {resolve_ends}: the charge stands, the bond can be returned",
    ContestStatus.ANSWERED: "answered: the order, its price and the delivery were shown on chain, so the charge stands",
    ContestStatus.REFUNDED: "refunded: {refund} went from the settler's bond back into the lane",
    ContestStatus.LAPSED: "lapsed: the bond went back to the contester, the charge stands",
}
_NEXT = {
    ContestStatus.OPEN: "If nobody shows them, run this again between {answer_ends} and {resolve_ends}: the settler's "
    "bond refunds the charge, and you get your bond back. If somebody does, run this again to see the output.",
    ContestStatus.LAPSED: "Run this again to contest the charge again, as long as it can be contested.",
}


def show_contests(found: list[ContestView], scale: TokenScale) -> None:
    table = Table("epoch", "row", "contester", "status", show_edge=False)
    for view in found:
        table.add_row(str(view.epoch_id), str(view.index), view.contester, _in_words(view, scale))
    Console().print(table if found else "No charge was contested yet.")


def take_step(contests: Contests, sender: Sender, view: ContestView, order_id: str, scale: TokenScale) -> None:
    """Opens or ends the contest of an order's charge, as its status asks, and prints the result."""
    if view.status is ContestStatus.NONE and view.refund_units is None:
        view = contests.open(sender, view.epoch_id, view.index)
    elif view.status in (ContestStatus.UNANSWERED, ContestStatus.OVERDUE):
        view = contests.finish(sender, view.epoch_id, view.index)
    elif view.status is ContestStatus.LAPSED:
        view = _open_again(contests, sender, view)
    print_contest(view, scale)
    if view.status is ContestStatus.ANSWERED:
        _print_output(contests.shown_output(view), order_id)


def _open_again(contests: Contests, sender: Sender, view: ContestView) -> ContestView:
    """A new contest after one that lapsed; the old one if the charge can no longer be contested."""
    try:
        return contests.open(sender, view.epoch_id, view.index)
    except Reverted as refused:
        if refused.error != "Contests_TooLate":
            raise
        return view


def _print_output(output: bytes, order_id: str) -> None:
    if not output:
        typer.echo("The order is restricted, so its output was not shown.")
        return
    typer.echo("The output that was shown, one line per text, as token ids (or as numbers where no text is generated):")
    for words in unpack(output):
        typer.echo(" ".join(map(str, words)))
    typer.echo(f"`assay jobs show {order_id}` prints the same as text. If that is your answer, the charge is right.")


def print_contest(view: ContestView, scale: TokenScale) -> None:
    words = f"row {view.index} of epoch {view.epoch_id} is {_in_words(view, scale)}"
    following = _NEXT.get(view.status, "").format(**_times(view))
    Console(soft_wrap=True, highlight=False).print(f"{words}\n{following}".strip(), markup=False)


def _in_words(view: ContestView, scale: TokenScale) -> str:
    if view.status is ContestStatus.NONE and view.refund_units is not None:
        return f"a duplicate: {scale.show(view.refund_units)} went from the settler's bond back into the lane"
    return _WORDS[view.status].format(refund=scale.show(view.refund_units or 0), **_times(view))


def _times(view: ContestView) -> dict[str, str]:
    ends = {"answer_ends": view.answer_ends, "resolve_ends": view.resolve_ends}
    return {name: "" if seconds is None else time_of(seconds) for name, seconds in ends.items()}
