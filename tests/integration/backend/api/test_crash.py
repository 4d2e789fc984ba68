"""What `assay serve` acknowledged survives its sudden death."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from eth_account import Account

from backend.client import AssayClient
from contracts.protocol.wire import LeaseGrant
from deploy.localnet.processes import free_port
from tests.integration.backend.api.coordinator import KEYS, Coordinator
from tests.world import parties
from tests.world.waiting import eventually

pytestmark = pytest.mark.chain
PASSWORD = "a password of tests"


@contextmanager
def served(running: Coordinator, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`assay serve` as a process of its own on the coordinator's folder."""
    for name, key in (("settler", KEYS["settler"]), ("treasury", parties.key("treasury"))):
        encrypted = Account.encrypt(key.private_key(), PASSWORD, iterations=2)
        (running.home / f"{name}.json").write_text(json.dumps(encrypted))
    running.chain.deployment.save(running.home / "deployment.json")
    environment = os.environ | {
        "ASSAY_HOME": str(running.home),
        "ASSAY_RPC": str(running.chain.w3.provider.endpoint_uri),  # type: ignore[attr-defined]  # it is an HTTPProvider
        "ASSAY_DEPLOYMENT": str(running.home / "deployment.json"),
        "ASSAY_PASSWORD": PASSWORD,
    }
    command = [sys.executable, "-c", "from backend.cli import serve_app; serve_app()", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=Path(__file__).parents[4]) as process:
        try:
            eventually(lambda: _answers(process, port))
            yield process
        finally:
            process.kill()


def _answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    assert process.poll() is None
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/network").is_success
    except httpx.TransportError:
        return False


def test_acknowledged_facts_survive_kill(running: Coordinator) -> None:
    """Protects requesters and nodes: killed right after each acknowledgement, the backend has forgotten nothing.

    Covers: A45
    """
    running.wallet().deposit(10_000)
    running.register_node(stake_units=100_000)
    port = free_port()
    running.url = f"http://127.0.0.1:{port}"
    with AssayClient(running.url, KEYS["alice"], chain=running.chain) as client:
        with served(running, port) as process:
            order_id = client.submit("Why?", max_new_tokens=2).order_id
            process.kill()
        with served(running, port) as process:
            grant = LeaseGrant.model_validate_json(running.lease().content)
            assert grant.lease.order_id == order_id
            process.kill()
        with served(running, port) as process:
            assert LeaseGrant.model_validate_json(running.lease().content) == grant, "the lease is held, not given anew"
            assert running.deliver(grant).json()["new"] is True
            process.kill()
        with served(running, port):
            assert running.deliver(grant).json()["new"] is False
            assert client.output(client.order(order_id)).text == "Scattering."
