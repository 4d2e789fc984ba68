"""The commands as an operator of a verifier or a beacon calls them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from contracts.onchain.keystore import KeystoreError, load_key
from tests.integration.verifier.network import Network
from tests.world.waiting import PATIENCE_S
from verifier.cli import beacon_app, verifier_app


@pytest.fixture(autouse=True)
def _password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_PASSWORD", "correct horse")


def test_beacon_init_prints_the_anchor_and_keeps_the_secret_encrypted(tmp_path: Path) -> None:
    """The anchor is public, the secret lies in a key file that only its password opens. Covers: A51"""
    result = CliRunner().invoke(beacon_app, ["init", "--home", str(tmp_path), "--length", "50"])
    assert result.exit_code == 0, result.output
    kept = json.loads((tmp_path / "beacon.json").read_text())
    assert result.stdout.strip() == kept["anchor"]
    secret = load_key(tmp_path / "beacon.key.json", "correct horse").private_key().hex()
    assert all(secret not in path.read_text() for path in tmp_path.iterdir())
    with pytest.raises(KeystoreError):
        load_key(tmp_path / "beacon.key.json", "wrong")


def test_verifier_init_prints_its_address_and_never_overwrites(tmp_path: Path) -> None:
    """The governor admits what was printed; a second init does not lose the first key."""
    first = CliRunner().invoke(verifier_app, ["init", "--home", str(tmp_path)])
    assert first.exit_code == 0, first.output
    assert first.stdout.strip() == load_key(tmp_path / "verifier.key.json", "correct horse").address
    second = CliRunner().invoke(verifier_app, ["init", "--home", str(tmp_path)])
    assert isinstance(second.exception, KeystoreError)


def test_without_a_password_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing password is no trace of Python."""
    monkeypatch.delenv("ASSAY_PASSWORD")
    result = CliRunner().invoke(verifier_app, ["init", "--home", str(tmp_path)])
    assert result.exit_code == 2
    assert "ASSAY_PASSWORD" in result.output


def test_a_verifier_process_runs_is_killed_and_runs_again(network: Network, tmp_path: Path) -> None:
    """Kill -9 leaves no lock behind: the next process opens key and journal and goes on. Covers: A45"""
    home, deployment = tmp_path / "home", tmp_path / "deployment.json"
    assert CliRunner().invoke(verifier_app, ["init", "--home", str(home)]).exit_code == 0
    network.deployment.save(deployment)
    where = ["--home", home, "--rpc", network.rpc_url, "--deployment", deployment, "--log", network.folder]
    arguments = [*where, "--backend", "http://127.0.0.1:1", "--model-dir", tmp_path]
    program = "import logging; logging.basicConfig(level=20); from verifier.cli import verifier_app; verifier_app()"

    def start() -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, "run", *map(str, arguments)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}, cwd=Path.cwd())

    for ending in (signal.SIGKILL, signal.SIGTERM):
        process = start()
        assert process.stderr is not None
        seen = next((line for line in process.stderr if "watches escrow" in line), None)
        process.send_signal(ending)
        process.wait(PATIENCE_S)
        process.stderr.close()
        assert seen is not None
        assert process.returncode == (-9 if ending == signal.SIGKILL else 0)
