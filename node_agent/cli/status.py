"""`assay node status` and `earnings`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from node_agent.cli.apps import node_app
from node_agent.cli.options import (
    DEFAULT_HOME,
    BackendOption,
    DeploymentOption,
    HomeOption,
    JsonOption,
    RpcOption,
    explained,
    print_json,
)

if TYPE_CHECKING:
    from node_agent.session.court import Accusation
    from node_agent.status import NodeStatus


@node_app.command()
def status(
    home: HomeOption = DEFAULT_HOME,
    rpc: RpcOption = None,
    deployment: DeploymentOption = None,
    backend: BackendOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show account, room for jobs, work, cases with their deadlines, and what limits earnings. Needs no password."""
    from node_agent.cli.show import show_standing
    from node_agent.home import PULSE, is_running
    from node_agent.session.pulse import last_beat
    from node_agent.status import read_standing
    from node_agent.where import NodePlace

    with explained(), NodePlace(home, rpc, deployment, backend) as where:
        api = where.api(attempts=1) if where.has_backend else None
        found = read_standing(
            where.chain, where.journal, where.operator_id, where.node, api, last_beat(home / PULSE), is_running(home)
        )
        if as_json:
            print_json(_plain(found))
        else:
            show_standing(where.chain, found)


@node_app.command()
def earnings(
    home: HomeOption = DEFAULT_HOME,
    rpc: RpcOption = None,
    deployment: DeploymentOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was earned, claimed, staked and locked, as the chain has it."""
    from node_agent.cli.show import show_account
    from node_agent.session.earnings import read_account
    from node_agent.where import NodePlace

    with explained(), NodePlace(home, rpc, deployment) as where:
        account = read_account(where.chain, where.operator_id)
        if as_json:
            print_json({**asdict(account), "claimable_units": account.claimable_units})
        else:
            show_account(where.chain, account)


def _fields(case: Accusation) -> dict[str, object]:
    """Without the leaf, whose parts are there."""
    return {name: value for name, value in asdict(case).items() if name != "leaf"}


def _plain(found: NodeStatus) -> dict[str, object]:
    from contracts.protocol.hashing import to_hex
    from node_agent.status import limits

    cases = [
        {**_fields(case), "case_id": to_hex(case.case_id), "digest": to_hex(case.digest), "words": words}
        for case, words in ((case, case.in_words(found.read_at_s)) for case in found.cases)
    ]
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
        "cases": cases,
        "running": found.is_running,
        "last_beat": None if found.beat is None else asdict(found.beat),
        "limits": limits(found),
    }  # fmt: skip
