"""Prints orders: as text for people, as JSON for machines.

Answers go to stdout and everything about them to stderr, so that answers can be piped.
"""

import json
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from backend.client.jobs import Answer, AssayClient
from backend.client.options import time_of
from contracts.protocol.amounts import TokenScale
from contracts.protocol.wire import OrderView, PriceSheetEntry

SHORT = 14
"""Characters of an order's id that people see."""

PUBLIC = "Orders are open: anyone can read this text and its answer in the published log. Do not send secrets."

_MEANING = {
    "queued": "waits for a node",
    "leased": "a node works on it",
    "delivered": "answered, not yet under a root",
    "rooted": "under a root on chain, in its check period",
    "paid": "charged and paid to the node",
    "void": "proven wrong; nothing is charged",
    "skipped": "the lane could not pay; the node may still settle it",
    "expired": "nobody delivered in time; nothing is charged",
}


def tell(text: str) -> None:
    """Prints a line on stderr."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


def tell_order(view: OrderView, scale: TokenScale) -> None:
    tell(f"order {view.order_id} is {view.state}; it costs at most {scale.show(view.order.terms.max_price)}")


def tell_nobody(entry: PriceSheetEntry) -> None:
    """Prints that an order waits although no node serves the workload."""
    tell(f"no node serves {entry.kind} ({entry.model}) now: the order waits for one, or expires and costs nothing")


def show_answer(client: AssayClient, view: OrderView, scale: TokenScale, entry: PriceSheetEntry) -> None:
    """Prints the answer, whether it was cut, and its price."""
    answer = client.output(view)
    typer.echo(answer.text)
    assert view.commitment is not None, "only an answered order has an output"
    cut = cut_words(answer, view)
    if cut is not None:
        tell(f"{cut}{_longer(view, entry)}")
    paid, most = scale.show(client.verify_price(view)), scale.show(view.order.terms.max_price)
    tell(f"price: {paid} for {view.commitment.units} units (signed: at most {most}); node {view.commitment.node}")


def cut_words(answer: Answer, view: OrderView) -> str | None:
    """Says which answers of an order were cut at its limit; None if none was."""
    if not answer.cut:
        return None
    limit = view.order.terms.params.max_new_tokens
    which = "the answer was"
    if len(answer.items) > 1:
        which = f"{len(answer.cut)} of {len(answer.items)} answers were"
    return f"{which} cut at {limit} tokens, the most that was ordered"


def _longer(view: OrderView, entry: PriceSheetEntry) -> str:
    most, limit = entry.most_new_tokens, view.order.terms.params.max_new_tokens
    if most is None or limit >= most:
        return "; this workload allows no longer answers"
    return f"; --max-new-tokens allows up to {most}"


def tell_interrupted(view: OrderView, scale: TokenScale) -> None:
    """Prints what remains open after an interrupt."""
    name, most = view.order_id, scale.show(view.order.terms.max_price)
    if view.commitment is not None:
        tell(
            f"interrupted: order {name} is answered and will be charged as signed, at most {most}; "
            f"`assay jobs receipt {name[:SHORT]}` fetches its receipt once its root is on chain"
        )
        return
    tell(
        f"interrupted: order {name} stays open. If it is answered it is charged, at most {most}; if not, it expires at "
        f"{time_of(view.order.terms.deadline)} and costs nothing. "
        f"`assay jobs list` and `assay jobs show {name[:SHORT]}` show its state"
    )


def show_order(client: AssayClient, view: OrderView, scale: TokenScale) -> None:
    terms, table = view.order.terms, Table(show_header=False, box=None)
    table.add_row("order", view.order_id)
    table.add_row("state", f"{view.state}: {_MEANING[view.state]}")
    table.add_row("signed", f"{scale.show(terms.fixed_price)} + {scale.show(terms.unit_price)} per unit")
    table.add_row("at most", scale.show(terms.max_price))
    answer = None if view.commitment is None else client.output(view)
    if view.commitment is not None:
        table.add_row("price", f"{scale.show(client.verify_price(view))} for {view.commitment.units} units")
        table.add_row("node", view.commitment.node)
    if answer is not None and (cut := cut_words(answer, view)) is not None:
        table.add_row("answer", cut)
    if view.refunded_units:
        table.add_row("refunded", f"{scale.show(view.refunded_units)}, into the lane")
    if view.receipt is not None:
        place = f"row {view.receipt.index} of epoch {view.receipt.epoch_id}"
        table.add_row("receipt", f"{place}; `assay jobs receipt {view.order_id[:SHORT]}` writes it")
    Console().print(table)
    if answer is not None:
        Console(soft_wrap=True, highlight=False).print(answer.text, markup=False)


def show_orders(client: AssayClient, views: list[OrderView], scale: TokenScale) -> None:
    table = Table("order", "state", "price", "signed at most", "deadline", "answer", show_edge=False)
    for view in views:
        price = "" if view.amount_units is None else scale.show(client.verify_price(view))
        terms = view.order.terms
        most, until = scale.show(terms.max_price), time_of(terms.deadline)
        table.add_row(view.order_id[:SHORT], view.state, price, most, until, _answered(client, view))
    Console().print(table if views else 'No orders yet; `assay jobs submit --prompt "..."` makes one.')


def _answered(client: AssayClient, view: OrderView) -> str:
    """Whole or cut. Fetches the output only if it may be cut: a cut answer has used its whole limit."""
    if view.commitment is None:
        return ""
    limit = view.order.terms.params.max_new_tokens
    if not limit or view.commitment.units < limit:
        return "whole"
    return f"cut at {limit} tokens" if client.output(view).cut else "whole"


def facts(client: AssayClient, view: OrderView, scale: TokenScale) -> dict[str, Any]:
    """An order as JSON fields, amounts in units and in tokens. `cut`: places of texts whose answer was cut."""
    answer = None if view.commitment is None else client.output(view)
    price = None if answer is None else client.verify_price(view)
    return {
        "order_id": view.order_id,
        "state": view.state,
        "max_price_units": view.order.terms.max_price,
        "price_units": price,
        "price": None if price is None else scale.show(price),
        "refunded_units": view.refunded_units,
        "node": view.node,
        "texts": None if answer is None else answer.texts,
        "cut": None if answer is None else answer.cut,
    }


def print_json(value: object) -> None:
    typer.echo(json.dumps(value))


def tell_receipt(path: Path) -> None:
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    tell(f"receipt: {shown}\n`assay verify {shown}` says what it proves")
