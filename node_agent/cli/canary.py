"""`assay node canary`."""

from typing import TYPE_CHECKING, Annotated

import typer

from node_agent.cli.explain import sources_of
from node_agent.cli.options import DeviceOption, ModelsOption, console, node_command
from node_agent.cli.serving import node_settings
from node_agent.errors import NothingToServe

if TYPE_CHECKING:
    from node_agent.where import NodePlace


@node_command("rpc", "deployment", "backend")
def canary(
    where: "NodePlace",
    workload: Annotated[str | None, typer.Option(help="A workload id; default: the first that works here.")] = None,
    models: ModelsOption = None,
    device: DeviceOption = None,
    timeout_s: Annotated[float, typer.Option(help="Give up after this many seconds.")] = 4 * 3600.0,
) -> None:
    """Get one small paid job and follow it to the credit on chain. Does the work itself if no node runs from HOME."""
    from contracts.onchain.keystore import load_key
    from node_agent.canary import CanaryWatch, request_canary, serve_until_delivered
    from node_agent.home import NODE_KEY, is_running, password
    from node_agent.hosts import require_serving_host
    from node_agent.session.earnings import read_account
    from node_agent.where import tokens_of

    signer, api = load_key(where.home / NODE_KEY, password()), where.api()
    before = read_account(where.chain, where.operator_id).earned_units
    workload_id = workload or _first_served(where, device)
    view = request_canary(api, signer, where.deployment.domain, workload_id)
    if view.receipt is not None or view.state not in ("queued", "leased", "delivered"):
        console.print("this operator already had its canary job; here is what became of it")
        before = min(before, 0)
    follower = CanaryWatch(sources_of(where), view.order_id, before, _show)
    if view.state in ("queued", "leased") and not is_running(where.home):
        require_serving_host()
        console.print("no node runs from this home: this command does the work itself")
        settings = node_settings(where, [workload_id], models, device)
        serve_until_delivered(settings, view.order_id, timeout_s=timeout_s)
    found = follower.follow(timeout_s)
    assert found.credited_units is not None, "following ends with a credit"
    console.print(f"paid: {tokens_of(where.chain, found.credited_units)}. Draw it with `assay node claim`.")


def _show(stage: str, says: str) -> None:
    console.print(f"[bold]{stage:<12}[/]", end="")
    console.print(says, markup=False)


def _first_served(where: "NodePlace", device: str | None) -> str:
    """The first offered workload whose engine and numeric class are this host's."""
    from node_agent.doctor.work import offered, why_not

    told = []
    for manifest in offered(where):
        why = why_not(manifest, device)
        if why is None:
            return manifest.workload_id()
        told.append(f"{why.name} {why.says}")
    raise NothingToServe(
        f"None of the offered workloads can be served here: {' '.join(told) or 'none is offered'}.",
        way_out="`assay node doctor` tells more.",
    )
