"""`assay jobs`: a requester's orders at the command line. Amounts in tokens.

Answers go to stdout, everything about them to stderr, so that an answer can be piped.
"""

import json
import re
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from backend.client.cli_contests import contest_order
from backend.client.cli_wallet import wallet_app
from backend.client.errors import BadInput, NotDelivered, Refused, WaitedTooLong
from backend.client.jobs import AssayClient
from backend.client.options import (
    RECEIPTS,
    BackendOption,
    DeploymentOption,
    HomeOption,
    JsonOption,
    RpcOption,
    SessionOption,
    Where,
)
from contracts.protocol.amounts import TokenScale
from contracts.protocol.wire import OrderView, Params

__all__ = ["jobs_app", "wallet_app"]

jobs_app = typer.Typer(help="Orders work and shows what it cost.", no_args_is_help=True)
jobs_app.command("contest")(contest_order)

_STANDARD_KIND = "generation"
_ROOT_WAIT_S = 150.0
"""An answer is under a root within an epoch and a transaction."""
_SHORT, _FILE_NAME = 14, 26
"""How much of an id tells orders apart for people, and in a folder."""
OrderArgument = Annotated[str, typer.Argument(help="the order's id, or how it begins")]


@jobs_app.command("submit")
def submit(
    prompt: Annotated[list[str] | None, typer.Option(help="a text; given again, one order takes all")] = None,
    file: Annotated[
        Path | None, typer.Option(help="a file of texts, one a line; - is stdin", exists=False, allow_dash=True)
    ] = None,
    workload: Annotated[
        str | None, typer.Option(help="id, model or kind; if not given, the only one, or the generation")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="most tokens of each answer")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="a parameter of the workload, as name=integer; given again, more of them")
    ] = None,
    wait: Annotated[bool, typer.Option(help="until it is answered, and its receipt is there")] = True,
    timeout: Annotated[float, typer.Option(min=1, help="most seconds to wait for the answer")] = 600.0,
    as_json: JsonOption = False,
    session: SessionOption = None,
    home: HomeOption = None,
    deployment: DeploymentOption = None,
    backend: BackendOption = None,
    rpc: RpcOption = None,
) -> None:
    """Orders one answer, or a batch; prints it, its price, and where its receipt is."""
    texts = _texts(prompt or [], file)
    where = Where(home, rpc, deployment, backend, session)
    client, scale = where.client()
    with client:
        view = client.submit(texts, workload or _standard(client), max_new_tokens, _params(param or []))
        _tell(f"order {view.order_id} is {view.state}; it costs at most {scale.show(view.order.terms.max_price)}")
        if wait:
            view = client.wait(view.order_id, timeout_s=timeout)
            if view.commitment is None:
                raise NotDelivered(order_id=view.order_id, state=view.state)
        if not as_json and view.commitment is not None:
            _show_answer(client, view, scale)
        written = _await_receipt(client, view, where.folder()) if wait else None
        if as_json:
            view = client.order(view.order_id)
            typer.echo(json.dumps(_facts(client, view, scale) | {"receipt": written and str(written)}))


@jobs_app.command("show")
def show(
    order_id: OrderArgument,
    as_json: JsonOption = False,
    session: SessionOption = None,
    home: HomeOption = None,
    deployment: DeploymentOption = None,
    backend: BackendOption = None,
    rpc: RpcOption = None,
) -> None:
    """Shows an order: its answer, and what was charged beside what was signed."""
    client, scale = Where(home, rpc, deployment, backend, session).client()
    with client:
        view = client.order(_full_id(client, order_id))
        if as_json:
            typer.echo(json.dumps(_facts(client, view, scale)))
            return
        terms, table = view.order.terms, Table(show_header=False, box=None)
        table.add_row("order", view.order_id)
        table.add_row("state", f"{view.state}: {_MEANING[view.state]}")
        table.add_row("signed", f"{scale.show(terms.fixed_price)} + {scale.show(terms.unit_price)} a unit")
        table.add_row("at most", scale.show(terms.max_price))
        if view.commitment is not None:
            table.add_row("price", f"{scale.show(client.verify_price(view))} for {view.commitment.units} units")
            table.add_row("node", view.commitment.node)
        if view.refunded_units:
            table.add_row("refunded", f"{scale.show(view.refunded_units)}, into the lane")
        if view.receipt is not None:
            place = f"row {view.receipt.index} of epoch {view.receipt.epoch_id}"
            table.add_row("receipt", f"{place}; `assay jobs receipt {order_id}` writes it")
        Console().print(table)
        if view.commitment is not None:
            Console(soft_wrap=True, highlight=False).print(client.output(view).text, markup=False)


@jobs_app.command("list")
def list_orders(
    as_json: JsonOption = False,
    session: SessionOption = None,
    home: HomeOption = None,
    deployment: DeploymentOption = None,
    backend: BackendOption = None,
    rpc: RpcOption = None,
) -> None:
    """Lists this requester's newest orders."""
    client, scale = Where(home, rpc, deployment, backend, session).client()
    with client:
        views = client.orders()
        if as_json:
            typer.echo(json.dumps([_facts(client, view, scale) for view in views]))
            return
        table = Table("order", "state", "price", "signed at most", "deadline", show_edge=False)
        for view in views:
            price = "" if view.amount_units is None else scale.show(client.verify_price(view))
            terms = view.order.terms
            name = view.order_id[:_SHORT]
            table.add_row(name, view.state, price, scale.show(terms.max_price), _time(terms.deadline))
    Console().print(table if views else 'No orders yet; `assay jobs submit --prompt "..."` makes one.')


@jobs_app.command("receipt")
def receipt(
    order_id: OrderArgument,
    out: Annotated[Path | None, typer.Option(help="where to write it; in HOME/receipts if not given")] = None,
    session: SessionOption = None,
    home: HomeOption = None,
    deployment: DeploymentOption = None,
    backend: BackendOption = None,
    rpc: RpcOption = None,
) -> None:
    """Fetches an order's receipt, checks it, and writes it. `assay verify FILE` then needs no backend."""
    where = Where(home, rpc, deployment, backend, session)
    client, _ = where.client()
    with client:
        written = _write_receipt(client, _full_id(client, order_id), where.folder(), out)
    _tell_receipt(written)


_MEANING = {
    "queued": "waits for a node",
    "leased": "a node works on it",
    "delivered": "answered, not yet under a root",
    "rooted": "under a root on chain, in its check period",
    "paid": "charged; the node earned it",
    "void": "proven wrong; nothing is charged",
    "skipped": "the lane could not pay; the node may still settle it",
    "expired": "nobody delivered in time; nothing is charged",
}


def _texts(prompts: list[str], file: Path | None) -> list[str]:
    lines: list[str] = []
    if file is not None:
        try:
            read = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise BadInput(f"{file} is not UTF-8 at byte {error.start}; save it as UTF-8") from error
        lines = [line for line in read.splitlines() if line.strip()]
    if not prompts and not lines:
        raise BadInput("nothing to ask: give --prompt TEXT, or --file FILE with a text a line")
    return [*prompts, *lines]


def _params(given: list[str]) -> Params:
    found = [re.fullmatch(r"(\w+)=(-?\d{1,18})", each) for each in given]
    wrong = [each for each, match in zip(given, found, strict=True) if match is None]
    if wrong:
        raise BadInput(f"--param {wrong[0]} is not name=integer; for instance --param temperature_milli=700")
    return {match[1]: int(match[2]) for match in found if match is not None}


def _standard(client: AssayClient) -> str | None:
    """The kind that is meant when none is named: None while only one workload is offered."""
    return None if len(client.network().price_sheet) == 1 else _STANDARD_KIND


def _full_id(client: AssayClient, start: str) -> str:
    """An order's id from how it begins."""
    if len(start) == 66:
        return start
    found = [view.order_id for view in client.orders() if view.order_id.startswith(start)]
    if len(found) != 1:
        many = f"{len(found)} of your newest orders begin" if found else "none of your newest orders begins"
        raise BadInput(f"{many} with {start!r}; `assay jobs list` shows them")
    return found[0]


def _show_answer(client: AssayClient, view: OrderView, scale: TokenScale) -> None:
    typer.echo(client.output(view).text)
    assert view.commitment is not None
    paid, most = scale.show(client.verify_price(view)), scale.show(view.order.terms.max_price)
    _tell(f"price: {paid} for {view.commitment.units} units (signed: at most {most}); node {view.commitment.node}")


def _await_receipt(client: AssayClient, view: OrderView, home: Path) -> Path:
    """Waits for the root, then writes the receipt. Raises WaitedTooLong."""
    _tell("waiting for the root on chain; Ctrl-C does no harm, `assay jobs receipt` fetches it later")
    until = time.monotonic() + _ROOT_WAIT_S
    while True:
        try:
            written = _write_receipt(client, view.order_id, home, None)
        except Refused as refused:
            if refused.code != "not_rooted":
                raise
            if time.monotonic() > until:
                raise WaitedTooLong(order_id=view.order_id, state=view.state, waited_s=_ROOT_WAIT_S) from refused
            time.sleep(1.0)
        else:
            _tell_receipt(written)
            return written


def _write_receipt(client: AssayClient, order_id: str, home: Path, out: Path | None) -> Path:
    path = out or home / RECEIPTS / f"{order_id[:_FILE_NAME]}.json"
    content = client.receipt(order_id).model_dump_json(indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(content + "\n")
    temporary.replace(path)
    return path


def _facts(client: AssayClient, view: OrderView, scale: TokenScale) -> dict[str, Any]:
    """An order for machines: amounts in units and in tokens."""
    delivered = view.commitment is not None
    price = client.verify_price(view) if delivered else None
    return {
        "order_id": view.order_id,
        "state": view.state,
        "max_price_units": view.order.terms.max_price,
        "price_units": price,
        "price": None if price is None else scale.show(price),
        "refunded_units": view.refunded_units,
        "node": view.node,
        "texts": client.output(view).texts if delivered else None,
    }


def _tell_receipt(path: Path) -> None:
    here = Path.cwd()
    shown = path.relative_to(here) if path.is_relative_to(here) else path
    _tell(f"receipt: {shown}\n`assay verify {shown}` says what it proves")


def _tell(text: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False).print(text, markup=False)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds).isoformat(sep=" ")
