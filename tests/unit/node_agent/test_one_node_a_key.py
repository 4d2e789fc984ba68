"""One node a key: a second process on one home is refused, by name of the first; it may start when that one is gone."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from node_agent.errors import NodeRunning
from node_agent.home import is_running, running, session_id

_HOLD = """
import sys, time
from pathlib import Path
from node_agent.home import running
with running(Path(sys.argv[1])):
    print("serving", flush=True)
    time.sleep(60)
"""


def held(home: Path) -> subprocess.Popen[str]:
    """A real process that serves from the home."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(home)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "serving\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Ends it as a crash would."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_second_node_on_one_home_is_refused(tmp_path: Path) -> None:
    """It names the process that serves, and what to do; a crash of that one leaves nothing locked."""
    home = tmp_path / "node"
    first = held(home)
    try:
        assert is_running(home)
        with pytest.raises(NodeRunning, match=rf"Process {first.pid} serves .*kill {first.pid}"), running(home):
            pass
        command = [sys.executable, "-c", _HOLD, str(home)]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert f"Process {first.pid}" in second.stderr
        assert "serving" not in second.stdout
    finally:
        end(first)
    assert not is_running(home)
    with running(home):
        assert (home / "run.lock").read_text().strip() == str(os.getpid())


def test_a_look_at_a_home_keeps_no_node_from_starting(tmp_path: Path) -> None:
    """`assay node status` holds the lock for a moment while it looks; a node that starts meanwhile is not refused."""
    home = tmp_path / "node"
    with running(home):
        pass
    with (home / "run.lock").open("r") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)
        over = threading.Timer(0.25, fcntl.flock, (looking, fcntl.LOCK_UN))
        over.start()
        with running(home):
            assert is_running(home)
        over.join()


def test_a_session_names_host_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same after a restart; another one for another home, for a copy of it, and on another host."""
    here = tmp_path / "node"
    first = session_id(here)
    assert session_id(here) == first
    copied = tmp_path / "copy"
    copied.mkdir()
    (copied / "session").write_text((here / "session").read_text())
    assert len({first, session_id(copied), session_id(tmp_path / "other")}) == 3
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    assert session_id(here) != first
