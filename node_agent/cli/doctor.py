"""`assay node doctor`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node_agent.cli.options import DeviceOption, JsonOption, ModelsOption, console, node_command, print_json

if TYPE_CHECKING:
    from node_agent.where import NodePlace

_COLOURS = {"OK": "green", "WARN": "yellow", "FAIL": "red"}


@node_command("rpc", "deployment", "backend")
def doctor(
    where: "NodePlace",
    models: ModelsOption = None,
    device: DeviceOption = None,
    least_disk_mib: Annotated[int, typer.Option(min=0, help="Free disk space that is enough.")] = 1024,
    least_memory_mib: Annotated[int, typer.Option(min=0, help="Available memory that is enough.")] = 1024,
    measure: Annotated[bool, typer.Option("--measure", help="Measure this host's speed again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check everything a node needs. Each line is OK, WARN or FAIL, with the cause and the fix. Exits 1 on a FAIL."""
    from node_agent.doctor import Limits, is_well, look_at_account, look_at_host, look_at_network, look_at_work
    from node_agent.doctor.findings import MIB
    from node_agent.execution.sandbox.speeds import Speeds
    from node_agent.models import ModelStore

    kept = where.settings
    store = ModelStore(models or (Path(kept.models) if kept and kept.models else None))
    device = device or (kept.device if kept else None)
    if measure:
        Speeds(store.root).forget()
    limits = Limits(disk_bytes=least_disk_mib * MIB, memory_bytes=least_memory_mib * MIB)
    findings = [
        *look_at_host(where.home, store.root, device, limits),
        *look_at_network(where, limits),
        *look_at_account(where),
        *look_at_work(where, store, device),
    ]
    if as_json:
        print_json({"ok": is_well(findings), "findings": [asdict(finding) for finding in findings]})
    else:
        for found in findings:
            console.print(f"[{_COLOURS[found.level]}]{found.level:<5}[/]{found.name:<20}", end="")
            console.print(found.says, markup=False)
            if found.fix:
                console.print(f"{'':<25}-> {found.fix}", markup=False)
    if not is_well(findings):
        raise typer.Exit(1)
