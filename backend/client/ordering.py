"""`assay jobs submit`: an order from its texts to its receipt."""

import re
import sys
import time
from pathlib import Path

import typer

from backend.client import telling
from backend.client.errors import BadInput, NobodyServes, NotDelivered, Refused, WaitedTooLong
from backend.client.jobs import AssayClient
from backend.client.options import RECEIPTS
from contracts.protocol.amounts import TokenScale
from contracts.protocol.wire import OrderView, PriceSheetEntry

INTERRUPTED = 130
"""Exit code after Ctrl-C (128 + SIGINT)."""

_STANDARD_KIND = "generation"
_ROOT_WAIT_S = 150.0
"""Enough for an epoch to close and be posted."""
_FILE_NAME = 26
"""Characters of an order's id in its receipt's file name."""


def read_texts(prompts: list[str], prompt_files: list[Path], file: Path | None) -> list[str]:
    """The texts of an order: first `prompts`, then the whole files, then the lines of `file`. Raises BadInput."""
    whole = [_read(path) for path in prompt_files]
    lines = [line for line in _read(file).splitlines() if line.strip()] if file is not None else []
    if not prompts and not whole and not lines:
        raise BadInput("nothing to ask: give --prompt TEXT, --prompt-file FILE, or --file FILE with one text per line")
    return [*prompts, *whole, *lines]


def _read(path: Path) -> str:
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 at byte {error.start}", way_out="save it as UTF-8") from error


def read_params(given: list[str]) -> dict[str, int]:
    """Parameters as name=integer. Raises BadInput."""
    found = [re.fullmatch(r"(\w+)=(-?\d{1,18})", each) for each in given]
    wrong = [each for each, match in zip(given, found, strict=True) if match is None]
    if wrong:
        raise BadInput(f"--param {wrong[0]} is not name=integer", way_out="for instance --param temperature_milli=700")
    return {match[1]: int(match[2]) for match in found if match is not None}


def quoted(client: AssayClient, workload: str | None, *, wait_for_node: bool) -> PriceSheetEntry:
    """The price sheet's entry for a workload. Raises NotOffered, and NobodyServes unless the order may wait."""
    if workload is None and len(client.network().price_sheet) > 1:
        workload = _STANDARD_KIND
    entry = client.quote(workload)
    if entry.serving == 0 and not wait_for_node:
        raise NobodyServes(kind=entry.kind, model=entry.model)
    return entry


def order(
    client: AssayClient,
    scale: TokenScale,
    entry: PriceSheetEntry,
    texts: list[str],
    max_new_tokens: int | None,
    params: dict[str, int],
) -> OrderView:
    telling.tell(telling.PUBLIC)
    if entry.serving == 0:
        telling.tell_nobody(entry)
    try:
        view = client.submit(texts, entry.workload_id, max_new_tokens, params)
    except KeyboardInterrupt:
        telling.tell("interrupted while ordering; `assay jobs list` shows whether the order was accepted")
        raise typer.Exit(INTERRUPTED) from None
    telling.tell_order(view, scale)
    return view


def follow(
    client: AssayClient,
    view: OrderView,
    scale: TokenScale,
    entry: PriceSheetEntry,
    folder: Path,
    *,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Waits for the answer and its receipt, and prints both. On Ctrl-C prints what stays open and exits.

    Raises NotDelivered, WaitedTooLong, Untrue.
    """
    try:
        view = client.wait(view.order_id, timeout_s=timeout_s)
        if view.commitment is None:
            raise NotDelivered(order_id=view.order_id, state=view.state)
        if not as_json:
            telling.show_answer(client, view, scale, entry)
        written = await_receipt(client, view, folder)
    except KeyboardInterrupt:
        telling.tell_interrupted(view, scale)
        raise typer.Exit(INTERRUPTED) from None
    if as_json:
        view = client.order(view.order_id)
        telling.print_json(telling.facts(client, view, scale) | {"receipt": str(written)})


def await_receipt(client: AssayClient, view: OrderView, home: Path) -> Path:
    """Waits for the root, then writes the receipt. Raises WaitedTooLong."""
    telling.tell("waiting for the root on chain; you may press Ctrl-C: `assay jobs receipt` fetches the receipt later")
    until = time.monotonic() + _ROOT_WAIT_S
    while True:
        try:
            written = write_receipt(client, view.order_id, home, None)
        except Refused as refused:
            if refused.code != "not_rooted":
                raise
            if time.monotonic() > until:
                raise WaitedTooLong(order_id=view.order_id, state=view.state, waited_s=_ROOT_WAIT_S) from refused
            time.sleep(1.0)
        else:
            telling.tell_receipt(written)
            return written


def write_receipt(client: AssayClient, order_id: str, home: Path, out: Path | None) -> Path:
    """Fetches and checks an order's receipt, and writes it atomically. Raises Refused, Untrue."""
    path = out or home / RECEIPTS / f"{order_id[:_FILE_NAME]}.json"
    content = client.receipt(order_id).model_dump_json(indent=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(content + "\n")
    temporary.replace(path)
    return path


def full_id(client: AssayClient, start: str) -> str:
    """The id of the order that begins like this. Raises BadInput."""
    if len(start) == 66:
        return start
    found = [view.order_id for view in client.orders() if view.order_id.startswith(start)]
    if len(found) != 1:
        many = f"{len(found)} of your newest orders begin" if found else "none of your newest orders begins"
        raise BadInput(f"{many} with {start!r}", way_out="`assay jobs list` shows them")
    return found[0]
