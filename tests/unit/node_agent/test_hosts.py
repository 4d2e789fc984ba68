"""macOS and others: a node refuses in words, and what requesters and auditors load knows nothing of confinement."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.onchain.errors import ChainUnavailable
from node_agent.cli import node_app
from node_agent.errors import HostUnsupported
from node_agent.hosts import require_serving_host
from verifier.receipts.cli import verify_app


@pytest.mark.parametrize(("system", "machine"), [("darwin", "arm64"), ("win32", "AMD64"), ("linux", "riscv64")])
def test_a_host_that_cannot_confine_jobs_is_told_so_first(
    system: str, machine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `assay node run`, before a password is asked for: which host it is, what is needed, and what works here."""
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    result = CliRunner().invoke(node_app, ["run", "--home", str(tmp_path / "node")])
    monkeypatch.undo()
    assert result.exit_code == 1
    assert isinstance(result.exception, HostUnsupported)
    for words in (f"{system} on {machine}", "Linux 5.13", "assay audit"):
        assert words in str(result.exception)


def test_an_auditor_without_linux_is_told_how_to_run_a_job_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing runs unconfined unless that was asked for; when it is, the chain is asked next."""
    monkeypatch.setattr("sys.platform", "darwin")
    nowhere = ["--job", "latest", "--rpc", "http://127.0.0.1:1", "--escrow", "0x" + "11" * 20, "--log", "nowhere"]
    told = CliRunner().invoke(verify_app, nowhere).exception
    assert isinstance(told, HostUnsupported)
    assert "--unconfined" in str(told)
    assert isinstance(CliRunner().invoke(verify_app, [*nowhere, "--unconfined"]).exception, ChainUnavailable)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_linux_serves(machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds of processor whose system calls are known."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("platform.machine", lambda: machine)
    require_serving_host()
    monkeypatch.setattr("platform.machine", lambda: "i686")
    with pytest.raises(HostUnsupported):
        require_serving_host()


_LOAD = """
import json, sys
import backend.client.cli, backend.client.ordering, backend.client.telling, backend.client.wallet
import backend.client.contest_words, backend.client.cli_sessions
import verifier.audit.cli, verifier.audit.audit, verifier.receipts.cli, verifier.receipts.verify
print(json.dumps(sorted(sys.modules)))
"""


def test_requesters_and_auditors_load_nothing_of_linux() -> None:
    """All of `assay jobs`, `wallet`, `contests`, `audit` and `verify RECEIPT`: no engine, no confinement, no prctl."""
    done = subprocess.run([sys.executable, "-c", _LOAD], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert not [name for name in loaded if name.startswith(("node_agent", "torch", "deploy"))]
