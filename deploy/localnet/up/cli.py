"""`assay up`: a test network in the foreground, kept in a folder from one start to the next."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deploy.localnet.up.errors import NoState
from deploy.localnet.up.folder import Folder
from deploy.settings import NETWORK_FOLDER

if TYPE_CHECKING:
    from deploy.localnet.telling import SteadyLines
    from deploy.localnet.up.local_network import LocalNetwork

up_app = typer.Typer()
_console = Console(highlight=False, soft_wrap=True)
_LOOP_S = 0.5
_SETTLE_AFTER_S = 20.0
"""After a start; by then the node has recorded in its journal what was rooted meanwhile."""
_TRY = (
    'assay jobs submit --prompt "Why is the sky blue?"',
    "assay jobs list        assay wallet lanes        assay node earnings",
)


@up_app.command()
def up(
    home: Annotated[Path, typer.Option("--home", help="The network's folder.")] = Path(NETWORK_FOLDER),
    chain: Annotated[str, typer.Option(help="anvil; the embedded chain keeps no state.")] = "anvil",
    reset: Annotated[bool, typer.Option("--reset", help="Delete the folder's network and found a new one.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before deleting.")] = False,
    models: Annotated[Path | None, typer.Option(help="Folder that `assay models pull` fills.")] = None,
) -> None:
    """Run a test network until Ctrl-C. Started again, it continues where it stopped."""
    from deploy.localnet.telling import SteadyLines
    from deploy.localnet.up.local_network import LocalNetwork
    from node_agent.hosts import require_serving_host
    from node_agent.models import ModelStore, default_root

    require_serving_host()
    if chain != "anvil":
        raise NoState(chain)
    folder = Folder.take(home)
    try:
        _make_room(folder, reset, yes)
        lines = SteadyLines(_say, time.monotonic, stamped=False)
        _keep_up(LocalNetwork(folder, ModelStore(models or default_root()), lines.step), folder, lines)
    finally:
        folder.release()


def _make_room(folder: Folder, reset: bool, yes: bool) -> None:
    """Deletes a network on request, or one that was never finished."""
    if reset and not folder.is_empty:
        if not yes:
            typer.confirm(f"Delete the network in {folder.path}, with its chain, keys and wallets?", abort=True)
        folder.clear()
    if not folder.is_founded and not folder.is_empty:
        _say(f"the network in {folder.path} was never finished; founding it again")
        folder.clear()


def _keep_up(local: LocalNetwork, folder: Folder, lines: SteadyLines) -> None:
    """Runs the network, and always stops it."""
    try:
        _run(local, folder, lines)
    except KeyboardInterrupt:
        _say("interrupted while starting")
    finally:
        _on_signals(signal.SIG_IGN)
        _say("stopping after the current job")
        local.stop()
        _say("stopped; `assay up` continues from here")


def _run(local: LocalNetwork, folder: Folder, lines: SteadyLines) -> None:
    """Founds the network if it is new, starts it, and supervises it until it is asked to stop."""
    _on_signals(_interrupt)
    from deploy.localnet.telling import ticking

    with ticking(lines):
        if not folder.is_founded:
            local.create()
        lines.step("starting backend, worker, verifier and node")
        local.supervisor.start_all()
        local.until_answered()
    stop = threading.Event()
    _on_signals(lambda number, frame: stop.set())
    show(local, _console)
    settle_at = time.monotonic() + _SETTLE_AFTER_S
    while not stop.wait(_LOOP_S):
        now = time.monotonic()
        local.supervisor.tick(now)
        local.anvil_state.tick(now)
        if now >= settle_at:
            settle_at = float("inf")
            local.settle_stranded()


def _on_signals(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def show(local: LocalNetwork, console: Console) -> None:
    """Shows URLs and files, and the first commands to try."""
    from deploy.localnet.founding import TOKEN_UNITS
    from deploy.localnet.planning import shortened
    from deploy.localnet.up.local_network import CAST, REQUESTER

    network, folder = local.network, local.folder_path
    key = network.party(REQUESTER).key(REQUESTER)
    lane, wallet = (units // TOKEN_UNITS for units in (CAST.lane_units, CAST.wallet_units))
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = (
        ("network page", network.backend_url),
        ("wallet page", f"{network.backend_url}/wallet"),
        ("API", f"{network.backend_url}/v1/network, described at /docs"),
        ("published log", f"{network.backend_url}/v1/log"),
        ("chain (RPC)", f"{network.rpc_url}, chain id {network.deployment.chain_id}"),
        ("escrow", network.deployment.escrow),
        ("requester", f"{address_in(key)}, founded with {lane} tokens in its lane and {wallet} beside it"),
        ("its key", f"{key}, opened by the file `password` beside it; `assay wallet export-key` shows it"),
        ("logs", str(folder / "logs")),
    )
    for name, text in rows:
        table.add_row(name, text)
    console.print(Panel(table, title="Assay is up", title_align="left", expand=False))
    console.print(f"In another terminal, in {folder.parent} (elsewhere with ASSAY_NET={folder}):")
    for line in _TRY:
        console.print(f"  {line}", markup=False)
    console.print("Anybody can audit it, in any folder and without a key:")
    where = f"--rpc {network.rpc_url} --escrow {network.deployment.escrow} --log {network.backend_url}/v1/log"
    for command in ("audit", "verify --job latest"):
        console.print(f"  assay {command} {where}", markup=False)
    console.print(
        "One verifier checks the samples; a conviction needs two that agree, so no node is convicted here. Windows "
        "follow this machine's measured speed, and are shorter than production's (in brackets): "
        f"{', '.join(shortened(local.network.constants))}. Ctrl-C stops; nothing is lost."
    )


def address_in(key: Path) -> str:
    return "0x" + str(json.loads(key.read_text())["address"]).removeprefix("0x")


def _say(text: str) -> None:
    _console.print(Text.assemble((time.strftime("%H:%M:%S"), "dim"), f" {text}"))
