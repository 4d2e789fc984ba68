"""Contests in words: how one stands, what comes next, and what was shown on chain."""

from datetime import datetime

import typer
from rich.console import Console
from rich.table import Table

from backend.client.contests import Contests, ContestView
from contracts.onchain.errors import Reverted
from contracts.onchain.sender import Sender
from contracts.protocol.amounts import TokenScale
from contracts.protocol.packed import unpack
from contracts.record.charges import ContestStatus

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
    ContestStatus.LAPSED: "A lapse bars nobody: run this again to contest the charge again, while it may be contested.",
}


def show_contests(found: list[ContestView], scale: TokenScale) -> None:
    """A line a contest."""
    table = Table("epoch", "row", "contester", "how it stands", show_edge=False)
    for view in found:
        table.add_row(str(view.epoch_id), str(view.index), view.contester, _in_words(view, scale))
    Console().print(table if found else "No charge was ever contested.")


def take_step(contests: Contests, sender: Sender, view: ContestView, scale: TokenScale) -> None:
    """Opens or ends a contest, as it stands, and says so."""
    if view.status is ContestStatus.NONE and view.refund_units is None:
        view = contests.open(sender, view.epoch_id, view.index)
    elif view.status in (ContestStatus.UNANSWERED, ContestStatus.OVERDUE):
        view = contests.finish(sender, view.epoch_id, view.index)
    elif view.status is ContestStatus.LAPSED:
        view = _open_again(contests, sender, view)
    print_contest(view, scale)
    if view.status is ContestStatus.ANSWERED:
        _print_output(contests.shown_output(view))


def _open_again(contests: Contests, sender: Sender, view: ContestView) -> ContestView:
    """A new contest after one that lapsed; the old one as it is where the time to contest the charge is over."""
    try:
        return contests.open(sender, view.epoch_id, view.index)
    except Reverted as refused:
        if refused.error != "Contests_TooLate":
            raise
        return view


def _print_output(output: bytes) -> None:
    """What stands on chain: token ids, or numbers, of each text. `assay jobs show ORDER` spells them."""
    if not output:
        typer.echo("(the order is restricted: its output was not shown)")
        return
    for words in unpack(output):
        typer.echo(" ".join(map(str, words)))


def print_contest(view: ContestView, scale: TokenScale) -> None:
    """How a contest stands, and what comes next."""
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
