"""`assay node run`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.protocol.wire import MOST_LEASES
from node_agent.cli.apps import node_app
from node_agent.cli.options import (
    DEFAULT_HOME,
    BackendOption,
    DeploymentOption,
    HomeOption,
    RpcOption,
    explained,
)
from node_agent.errors import BadSetting

if TYPE_CHECKING:
    from node_agent.app import NodeSettings
    from node_agent.session.lease import PriceFloor
    from node_agent.where import NodePlace


@node_app.command()
def run(
    home: HomeOption = DEFAULT_HOME,
    rpc: RpcOption = None,
    deployment: DeploymentOption = None,
    backend: BackendOption = None,
    workload: Annotated[
        list[str] | None,
        typer.Option(help="A workload id, or a manifest's file. May be given again. All that work here if none is."),
    ] = None,
    models: Annotated[Path | None, typer.Option(envvar="ASSAY_MODELS", help="Folder of the model store.")] = None,
    device: Annotated[str | None, typer.Option(envvar="ASSAY_DEVICE", help="cpu, cuda or cuda:N.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; part of the numeric class, which has one.")] = 1,
    min_fixed_price: Annotated[int, typer.Option(min=0, help="Least units a job.")] = 0,
    min_unit_price: Annotated[int, typer.Option(min=0, help="Least units a unit of work.")] = 0,
    max_unrooted: Annotated[int, typer.Option(min=0, help="Overdue delivered jobs to bear.")] = 3,
    poll_s: Annotated[float, typer.Option(min=0.05, help="Pause between questions for a job, seconds.")] = 2.0,
    slots: Annotated[
        int,
        typer.Option(min=1, max=MOST_LEASES, help="Jobs held at once; exact chats are answered in one running batch."),
    ] = 1,
) -> None:
    """Serve jobs until SIGTERM or SIGINT; jobs under way are finished, a second signal abandons them."""
    from node_agent.app import run_node
    from node_agent.hosts import require_serving_host
    from node_agent.session.lease import PriceFloor
    from node_agent.where import NodePlace

    log_to_stderr()
    with explained():
        require_serving_host()
        if threads != 1:
            raise BadSetting(
                f"--threads {threads}: float engines compute with one CPU thread, others give other bits.",
                way_out="Leave it at 1 and run one node a core.",
                threads=threads,
            )
        floor = PriceFloor(min_fixed_price, min_unit_price)
        where = NodePlace(home, rpc, deployment, backend)
        settings = node_settings(
            where, workload, models, device, floor=floor, max_unrooted=max_unrooted, poll_s=poll_s, slots=slots
        )
        run_node(settings)


def node_settings(
    where: NodePlace,
    workloads: list[str] | None,
    models: Path | None,
    device: str | None,
    *,
    floor: PriceFloor | None = None,
    max_unrooted: int = 3,
    poll_s: float = 2.0,
    slots: int = 1,
) -> NodeSettings:
    """A node as its home and the options say. Raises BadSetting or PasswordMissing."""
    from node_agent.app import NodeSettings
    from node_agent.home import password
    from node_agent.session.lease import PriceFloor

    kept = where.settings
    kept_models = kept.models if kept else None
    return NodeSettings(
        home=where.home,
        rpc_url=where.rpc,
        deployment=where.deployment,
        backend_url=where.backend,
        workloads=tuple(workloads or (kept.workloads if kept else [])),
        password=password(),
        models=models or (Path(kept_models) if kept_models else None),
        device=device or (kept.device if kept else None),
        floor=floor or PriceFloor(),
        max_unrooted=max_unrooted,
        poll_s=poll_s,
        slots=slots,
    )


def log_to_stderr() -> None:
    """One line an event."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
