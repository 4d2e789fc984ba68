"""What `assay serve` acknowledged survives its sudden death."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from eth_account import Account

from backend.client import AssayClient
from contracts.protocol.wire import LeaseGrant
from deploy.localnet.processes import free_port
from tests.integration.backend.api.coordinator import KEYS, Coordinator
from tests.survival.nursery import Child, Nursery
from tests.world import parties
from tests.world.waiting import eventually

pytestmark = pytest.mark.chain
PASSWORD = "a password of tests"


@pytest.fixture
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Whence backends come as processes of their own, without the seconds of importing."""
    made = Nursery(tmp_path_factory.mktemp("nursery"))
    yield made
    made.close()


@contextmanager
def served(nursery: Nursery, running: Coordinator, port: int) -> Iterator[Child]:
    """`assay serve` as a process of its own on the coordinator's folder."""
    for name, key in (("settler", KEYS["settler"]), ("treasury", parties.key("treasury"))):
        encrypted = Account.encrypt(key.private_key(), PASSWORD, iterations=2)
        (running.home / f"{name}.json").write_text(json.dumps(encrypted))
    running.chain.deployment.save(running.home / "deployment.json")
    rpc_url = running.chain.w3.url
    where = ["--home", str(running.home), "--rpc", rpc_url, "--deployment", str(running.home / "deployment.json")]
    process = nursery.start("api", "api", [*where, "--port", str(port)], {"ASSAY_PASSWORD": PASSWORD})
    try:
        eventually(lambda: _answers(process, port))
        yield process
    finally:
        process.kill()


def _answers(process: Child, port: int) -> bool:
    assert process.alive, process.log_text()
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/network").is_success
    except httpx.TransportError:
        return False


def test_acknowledged_facts_survive_kill(running: Coordinator, nursery: Nursery) -> None:
    """Protects requesters and nodes: killed right after each acknowledgement, the backend has forgotten nothing.

    Covers: A45
    """
    running.wallet().deposit(10_000)
    running.register_node(stake_units=100_000)
    port = free_port()
    running.url = f"http://127.0.0.1:{port}"
    with AssayClient(running.url, KEYS["alice"], chain=running.chain) as client:
        with served(nursery, running, port) as process:
            order_id = client.submit("Why?", max_new_tokens=2).order_id
            process.kill()
        with served(nursery, running, port) as process:
            grant = LeaseGrant.model_validate_json(running.lease().content)
            assert grant.lease.order_id == order_id
            process.kill()
        with served(nursery, running, port) as process:
            assert LeaseGrant.model_validate_json(running.lease().content) == grant, "the lease is held, not given anew"
            assert running.deliver(grant).json()["new"] is True
            process.kill()
        with served(nursery, running, port):
            assert running.deliver(grant).json()["new"] is False
            assert client.output(client.order(order_id)).text == "Scattering."
