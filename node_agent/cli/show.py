"""Tables for people."""

from rich.table import Table

from contracts.onchain.chain import Chain
from node_agent.cli.options import console
from node_agent.session.earnings import Account
from node_agent.status import NodeStatus, limits
from node_agent.where import tokens_of


def show_account(chain: Chain, account: Account) -> None:
    table = Table("operator", str(account.operator_id), show_edge=False)
    table.add_row("owner", account.owner)
    table.add_row("payout", account.payout)
    for name in ("earned", "claimed", "claimable", "stake", "unbonding", "locked"):
        table.add_row(name, tokens_of(chain, getattr(account, f"{name}_units")))
    console.print(table)


def show_status(chain: Chain, found: NodeStatus) -> None:
    show_account(chain, found.account)
    free, view, multiple = found.free_units, found.view, found.penalty_multiple
    lines = {
        "open exposure": "unknown without a backend" if view is None else tokens_of(chain, view.open_max),
        "free room for jobs": "unknown" if free is None else f"{tokens_of(chain, free)} = stake / {multiple} - open",
        "jobs delivered": "unknown" if view is None else str(view.delivered_jobs),
        "jobs checked": "unknown" if view is None else str(view.checked_jobs),
        "native work": "unknown" if view is None else f"{view.native.state}, {view.native.checks} checks",
        "jobs void": str(found.void_jobs),
        "undelivered answers": str(found.undelivered),
        "delivered, without a root": str(found.unrooted),
        "under a root": str(found.rooted),
        "jobs failed since it began": "unknown" if found.beat is None else str(found.beat.failed),
        "last heartbeat": _beat(found),
    }  # fmt: skip
    for name, value in lines.items():
        console.print(f"{name:<27}{value}", markup=False)
    for speed in found.beat.speeds if found.beat is not None else ():
        console.print(f"{'speed':<27}{speed}", markup=False)
    for case in found.cases:
        console.print(case.in_words(found.read_at_s), markup=False)
    for refused in found.refused:
        console.print(f"refused: {refused}", markup=False)
    for given_up in found.given_up:
        console.print(f"given up: {given_up}", markup=False)
    limiting = limits(found)
    console.print("what limits earnings now:" if limiting else "nothing limits earnings now")
    for limit in limiting:
        console.print(f"  - {limit}", markup=False)


def _beat(found: NodeStatus) -> str:
    if found.beat is None:
        return "none; a running node writes one every few seconds"
    running = "" if found.is_running else ", not running now"
    ago = max(0, found.read_at_s - found.beat.at_s)
    return f"{ago} s ago: {found.beat.state} {found.beat.detail}".rstrip() + running
