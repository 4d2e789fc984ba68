"""`assay node status` and `earnings`."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from node_agent.cli.options import JsonOption, node_command, print_json

if TYPE_CHECKING:
    from node_agent.session.court import Accusation
    from node_agent.status import NodeStatus
    from node_agent.where import NodePlace


@node_command("rpc", "deployment", "backend")
def status(where: "NodePlace", as_json: JsonOption = False) -> None:
    """Show account, room for jobs, work, cases with their deadlines, and what limits earnings. Needs no password."""
    from node_agent.cli.show import show_status
    from node_agent.status import read_status

    found = read_status(where)
    if as_json:
        print_json(_plain(found))
    else:
        show_status(where.chain, found)


@node_command("rpc", "deployment")
def earnings(where: "NodePlace", as_json: JsonOption = False) -> None:
    """Show what was earned, claimed, staked and locked, as the chain has it."""
    from node_agent.cli.show import show_account
    from node_agent.session.earnings import read_account

    account = read_account(where.chain, where.operator_id)
    if as_json:
        print_json({**asdict(account), "claimable_units": account.claimable_units})
    else:
        show_account(where.chain, account)


def _case(case: "Accusation", read_at_s: int) -> dict[str, object]:
    """All but the leaf, whose parts are fields of the case."""
    from contracts.protocol.hashing import to_hex

    fields = {name: value for name, value in asdict(case).items() if name != "leaf"}
    words = case.in_words(read_at_s)
    return {**fields, "case_id": to_hex(case.case_id), "digest": to_hex(case.digest), "words": words}


def _plain(found: "NodeStatus") -> dict[str, object]:
    from node_agent.status import limits

    return {
        "account": {**asdict(found.account), "claimable_units": found.account.claimable_units},
        "open_units": None if found.view is None else found.view.open_max,
        "free_units": found.free_units,
        "jobs": {
            "delivered": None if found.view is None else found.view.delivered_jobs,
            "checked": None if found.view is None else found.view.checked_jobs,
            "void": found.void_jobs, "undelivered": found.undelivered, "unrooted": found.unrooted,
            "rooted": found.rooted, "refused": found.refused, "given_up": found.given_up,
        },
        "native": None if found.view is None else found.view.native.model_dump(mode="json"),
        "cases": [_case(case, found.read_at_s) for case in found.cases],
        "running": found.is_running,
        "last_beat": None if found.beat is None else asdict(found.beat),
        "limits": limits(found),
    }  # fmt: skip
