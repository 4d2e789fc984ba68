"""`assay node explain`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from node_agent.cli.options import JsonOption, console, node_command, print_json
from node_agent.errors import BadSetting

if TYPE_CHECKING:
    from node_agent.explanation import Explanation, Sources
    from node_agent.where import NodePlace

_MARKS = {"ok": "[green]=[/]", "note": "[dim]·[/]", "lie": "[red]LIE[/]"}
_DIGITS = 66


@node_command("rpc", "deployment", "backend")
def explain(
    where: "NodePlace",
    job: Annotated[
        str | None, typer.Argument(help="An order's id, or the start of one this node knows; default: the newest.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Recompute one payment from signed inputs, and say why it was earned or not. Exits 1 on a lie."""
    from node_agent.explanation import Explainer

    found = Explainer(sources_of(where), _whole_id(where, job)).explain()
    if as_json:
        print_json({**asdict(found), "lies": found.lies})
    else:
        _show(where, found)
    if found.lies:
        raise typer.Exit(1)


def sources_of(where: "NodePlace") -> "Sources":
    """Chain, journal, and the backend if one is known."""
    from node_agent.explanation import Sources

    api = where.api(attempts=2) if where.has_backend else None
    return Sources(where.chain, where.journal, where.operator_id, where.node, api)


def _whole_id(where: "NodePlace", job: str | None) -> str:
    given = (job or where.journal.newest() or "").lower()
    if len(given) == _DIGITS:
        return given
    known = [order_id for order_id in where.journal.known() if order_id.startswith(given)]
    if len(known) != 1:
        says = f"{given or 'Nothing'} is the start of {len(known)} orders that this node knows."
        way_out = "Give the whole id, 0x and 64 hex digits; `assay node status --json` and the log name them."
        raise BadSetting(says, way_out=way_out, job=given)
    return known[0]


def _show(where: "NodePlace", found: "Explanation") -> None:
    from node_agent.where import tokens_of

    console.print(found.order_id)
    for step in found.steps:
        console.print(f"{_MARKS[step.mark]} {step.name:<11}", end="")
        console.print(step.says, markup=False)
    console.print(f"{found.outcome}: {found.says}", markup=False)
    if found.credited_units is not None:
        console.print(f"credited {tokens_of(where.chain, found.credited_units)} ({found.credited_units} units)")
    if found.lies:
        console.print(f"[red]{len(found.lies)} statements are false: see LIE above[/]")
