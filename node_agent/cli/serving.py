"""`assay node run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contracts.protocol.wire import MOST_LEASES
from node_agent.cli.options import DeviceOption, ModelsOption, node_command

if TYPE_CHECKING:
    from node_agent.app import NodeSettings
    from node_agent.where import NodePlace


@node_command("rpc", "deployment", "backend")
def run(
    where: "NodePlace",
    workload: Annotated[
        list[str] | None,
        typer.Option(help="A workload id, or a manifest's file. Repeatable. Default: all that work here."),
    ] = None,
    models: ModelsOption = None,
    device: DeviceOption = None,
    min_fixed_price: Annotated[int, typer.Option(min=0, help="Least price of a job, units.")] = 0,
    min_unit_price: Annotated[int, typer.Option(min=0, help="Least price of a unit of work, units.")] = 0,
    max_unrooted: Annotated[int, typer.Option(min=0, help="Stop taking jobs beyond this many overdue roots.")] = 3,
    poll_s: Annotated[float, typer.Option(min=0.05, help="Pause between requests for a job, seconds.")] = 2.0,
    slots: Annotated[
        int,
        typer.Option(min=1, max=MOST_LEASES, help="Jobs held at once; exact chats are answered in one running batch."),
    ] = 1,
) -> None:
    """Serve jobs until SIGTERM or SIGINT. The first signal finishes the jobs under way, a second abandons them."""
    from node_agent.app import run_node
    from node_agent.hosts import require_serving_host
    from node_agent.session.lease import PriceFloor

    require_serving_host()
    floor = PriceFloor(min_fixed_price, min_unit_price)
    served = {"floor": floor, "max_unrooted": max_unrooted, "poll_s": poll_s, "slots": slots}
    run_node(node_settings(where, workload, models, device, **served))


def node_settings(
    where: "NodePlace", workloads: list[str] | None, models: Path | None, device: str | None, **served: Any
) -> "NodeSettings":
    """Settings from the home and the options. `served`: other fields of NodeSettings. Raises BadSetting."""
    from node_agent.app import NodeSettings
    from node_agent.home import password

    kept = where.settings
    kept_models = kept.models if kept else None
    return NodeSettings(
        home=where.home, rpc_url=where.rpc, deployment=where.deployment, backend_url=where.backend,
        workloads=tuple(workloads or (kept.workloads if kept else [])), password=password(),
        models=models or (Path(kept_models) if kept_models else None), device=device or (kept.device if kept else None),
        **served,
    )  # fmt: skip
