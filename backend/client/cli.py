"""`assay jobs`: a requester's orders at the command line. Amounts in tokens.

Only what the options need is imported here, so that `--help` is fast; `ordering` and `telling` do the work.
"""

from pathlib import Path
from typing import Annotated

import typer

from backend.client.cli_contests import contest_order
from backend.client.cli_wallet import wallet_app
from backend.client.options import WITH_BACKEND, ClientPlace, JsonOption, client_command

__all__ = ["jobs_app", "wallet_app"]

jobs_app = typer.Typer(help="Orders work and shows its answers and prices.", no_args_is_help=True)
client_command(jobs_app, "contest", *WITH_BACKEND)(contest_order)

OrderArgument = Annotated[str, typer.Argument(help="the order's id or its first characters")]


@client_command(jobs_app, "submit", "session", *WITH_BACKEND)
def submit(
    where: ClientPlace,
    prompt: Annotated[list[str] | None, typer.Option(help="a text; repeat it for more texts in one order")] = None,
    prompt_file: Annotated[
        list[Path] | None,
        typer.Option(
            help="a file with one text of any number of lines; - is stdin; repeat it for more", allow_dash=True
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="a file with one text per line; - is stdin", exists=False, allow_dash=True)
    ] = None,
    workload: Annotated[
        str | None, typer.Option(help="id, model or kind; by default the only one, or the generation")
    ] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="most tokens per answer")] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="a parameter of the workload, as name=integer; repeat it for more")
    ] = None,
    wait: Annotated[bool, typer.Option(help="wait for the answer and the receipt")] = True,
    wait_for_node: Annotated[
        bool, typer.Option("--wait-for-node", help="order even if no node serves the workload now")
    ] = False,
    timeout: Annotated[float, typer.Option(min=1, help="most seconds to wait for the answer")] = 600.0,
    as_json: JsonOption = False,
) -> None:
    """Orders one answer or a batch; prints it, its price and its receipt's file.

    Texts and answers are public. If no node serves the workload, nothing is signed unless --wait-for-node is given.
    """
    from backend.client import ordering, telling

    texts, params = ordering.read_texts(prompt or [], prompt_file or [], file), ordering.read_params(param or [])
    client, scale = where.client()
    with client:
        entry = ordering.quoted(client, workload, wait_for_node=wait_for_node)
        view = ordering.order(client, scale, entry, texts, max_new_tokens, params)
        if wait:
            ordering.follow(client, view, scale, entry, where.folder(), timeout_s=timeout, as_json=as_json)
        elif as_json:
            telling.print_json(telling.facts(client, view, scale) | {"receipt": None})


@client_command(jobs_app, "show", "session", *WITH_BACKEND)
def show(where: ClientPlace, order_id: OrderArgument, as_json: JsonOption = False) -> None:
    """Shows an order: its answer, whether that was cut, what was signed and what was charged."""
    from backend.client import ordering, telling

    client, scale = where.client()
    with client:
        view = client.order(ordering.full_id(client, order_id))
        if as_json:
            telling.print_json(telling.facts(client, view, scale))
        else:
            telling.show_order(client, view, scale)


@client_command(jobs_app, "list", "session", *WITH_BACKEND)
def list_orders(where: ClientPlace, as_json: JsonOption = False) -> None:
    """Lists this requester's newest orders, or those of one --session."""
    from backend.client import telling

    client, scale = where.client()
    with client:
        views = client.orders(of_lane=where.session is not None)
        if as_json:
            telling.print_json([telling.facts(client, view, scale) for view in views])
        else:
            telling.show_orders(client, views, scale)


@client_command(jobs_app, "receipt", "session", *WITH_BACKEND)
def receipt(
    where: ClientPlace,
    order_id: OrderArgument,
    out: Annotated[Path | None, typer.Option(help="the file to write; by default in HOME/receipts")] = None,
) -> None:
    """Fetches, checks and writes an order's receipt. `assay verify FILE` then needs no backend."""
    from backend.client import ordering, telling

    client, _ = where.client()
    with client:
        written = ordering.write_receipt(client, ordering.full_id(client, order_id), where.folder(), out)
    telling.tell_receipt(written)
