"""What keeps a network's folder and programs in order."""

import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from deploy.localnet import workload
from deploy.localnet.planning import Machine, MachineSpeeds
from deploy.localnet.processes import Party, Processes, free_port
from deploy.localnet.up import local_network
from deploy.localnet.up.cli import up_app
from deploy.localnet.up.errors import AlreadyRunning, NoState, NotOurs
from deploy.localnet.up.folder import Folder
from deploy.localnet.up.local_network import LocalNetwork
from deploy.localnet.up.supervisor import Service, Supervisor
from deploy.settings import ClientFile
from node_agent.execution.engine import Speed
from node_agent.models import ModelStore
from tests.world.waiting import eventually

CLIENT = ClientFile(
    rpc="http://r", backend="http://b", beacon="http://c", escrow="0x" + "11" * 20, build="0x" + "22" * 32
)


def test_a_folder_with_other_things_is_never_touched(tmp_path: Path) -> None:
    """A typing mistake in --home --reset deletes nothing."""
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(NotOurs, match=str(tmp_path)):
        Folder.take(tmp_path)
    result = CliRunner().invoke(up_app, ["--home", str(tmp_path), "--reset", "--yes"])
    assert isinstance(result.exception, NotOurs)
    assert (tmp_path / "letters.txt").read_text() == "dear"


def test_two_cannot_run_one_network(tmp_path: Path) -> None:
    """The second is told who runs it; the lock ends with its process, also a killed one."""
    code = (
        "import sys, time, pathlib; from deploy.localnet.up.folder import Folder;"
        "f = Folder.take(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(AlreadyRunning, match=f"process {holder.pid} runs"):
        Folder.take(tmp_path)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    Folder.take(tmp_path).release()


def test_reset_asks_first(tmp_path: Path) -> None:
    """No is no; and yes deletes the network, and nothing outside."""
    home = tmp_path / "net"
    folder = Folder.take(home)
    folder.write_client_file(CLIENT)
    (tmp_path / "outside").write_text("kept")
    (home / "node").mkdir()
    (home / "link").symlink_to(tmp_path)
    folder.release()
    refused = CliRunner().invoke(up_app, ["--home", str(home), "--reset"], input="n\n")
    assert refused.exit_code == 1
    assert "Delete the network in" in refused.output
    assert (home / "client.json").is_file()
    again = Folder.take(home)
    again.clear()
    assert again.is_empty
    assert not again.is_founded
    assert (tmp_path / "outside").read_text() == "kept"
    again.release()


def test_the_embedded_chain_is_refused(tmp_path: Path) -> None:
    """It keeps no state; the way out is named, and no folder is made."""
    result = CliRunner().invoke(up_app, ["--home", str(tmp_path / "net"), "--chain", "embedded"])
    assert isinstance(result.exception, NoState)
    assert "--chain anvil" in str(result.exception)
    assert not (tmp_path / "net").exists()


def test_a_port_that_was_taken_is_said_with_the_one_that_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody types the usual port at a stranger's service; where nothing was taken, nothing is said."""
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        taken, free = stranger.getsockname()[1], free_port()
        monkeypatch.setattr("deploy.localnet.up.local_network._PREFERRED_BACKEND_PORT", taken)
        monkeypatch.setattr("deploy.localnet.up.local_network._PREFERRED_RPC_PORT", free)
        folder = Folder.take(tmp_path / "net")
        local = LocalNetwork(folder, ModelStore(tmp_path / "models"), said.append)
        folder.release()
    assert local.network.rpc_url == f"http://127.0.0.1:{free}"
    used = urlsplit(local.network.backend_url).port
    assert used != taken
    assert said == [
        f"port {taken} was taken, so the backend listens on {used}: read {used} wherever {taken} is written"
    ]


def test_a_party_opens_again_with_its_password(tmp_path: Path) -> None:
    """The folder of a network can be used again; nobody else may read the password. Covers: A51"""
    first = Party.open(tmp_path, "node")
    assert Party.open(tmp_path, "node") == first
    assert (first.home / "password").stat().st_mode & 0o777 == 0o600
    assert first.home.stat().st_mode & 0o777 == 0o700


def test_what_ends_is_said_and_started_again_ever_later(tmp_path: Path) -> None:
    """A crashed program comes back after 1, 2, 4... seconds, each time said; others are left alone."""
    said: list[str] = []
    processes = Processes(tmp_path)
    crash = [sys.executable, "-c", "raise SystemExit(3)"]
    steady = [sys.executable, "-c", "import time; time.sleep(60)"]
    services = [
        Service("steady", lambda: processes.start_program("steady", steady)),
        Service("crash", lambda: processes.start_program("crash", crash)),
    ]
    supervisor, now = Supervisor(processes, services, said.append), time.monotonic()
    supervisor.start_all()
    before = processes.running["steady"].pid
    for wait in (1, 2, 4):
        processes.running["crash"].wait(20)
        supervisor.tick(now)
        assert f"crash ended (exit code 3) and is started again in {wait} s" in said[-1]
        supervisor.tick(now + wait - 0.1)
        assert "ended" in said[-1]
        now += wait
        supervisor.tick(now)
        assert said[-1] == "crash runs again"
    assert processes.running["steady"].pid == before
    supervisor.stop_all()
    assert processes.running == {}


def test_children_end_with_their_parent(tmp_path: Path) -> None:
    """kill -9 of `assay up` leaves no program behind that holds ports and files."""
    code = (
        "import sys, time, pathlib; from deploy.localnet.processes import Processes;"
        "p = Processes(pathlib.Path(sys.argv[1]), end_with_us=True);"
        "p.start_program('child', [sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.running['child'].pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_the_client_file_is_what_commands_read(tmp_path: Path) -> None:
    """Written whole, and read back."""
    folder = Folder.take(tmp_path / "net")
    folder.write_client_file(CLIENT)
    assert ClientFile.load(folder.path) == CLIENT
    assert json.loads((folder.path / "client.json").read_text())["rpc"] == "http://r"
    folder.release()


def test_windows_follow_the_speed_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine's orders and checks get the time that they take there, a fast one's stay short; people are told
    the speed and what follows from it."""
    said: list[str] = []
    found = {}
    for write_per_s in (0.5, 500.0):
        speed = Speed("a way", 10 * write_per_s, write_per_s)
        monkeypatch.setattr(
            local_network, "look", lambda *asked, speed=speed: (MachineSpeeds(speed, speed), Machine(2))
        )
        folder = Folder.take(tmp_path / str(write_per_s))
        found[write_per_s] = local_network.LocalNetwork(
            folder, ModelStore(tmp_path / "models"), said.append
        ).measured_windows()
        folder.release()
    slow, fast = found[0.5], found[500.0]
    longest_s = Speed("a way", 5.0, 0.5).seconds(local_network.LONG_PROMPT_TOKENS, workload.MOST_NEW_TOKENS)
    assert slow.order_ttl_s > 2 * longest_s > fast.order_ttl_s * 0.5
    assert slow.check_wait_s > fast.check_wait_s == 30
    assert slow.misfits() == fast.misfits() == []
    told = [words for words in said if words.startswith("it reads")]
    assert told[0].startswith("it reads 5 and writes 0.5 tokens/s (a way): an order has ")
    assert f"an order has {fast.order_ttl_s} s, its check 30 s" in told[1]
