"""The beacon on a real chain: a value comes out when, and only when, its seed is fixed."""

from fastapi.testclient import TestClient

from tests.integration.verifier.network import Network
from verifier.beacon.service import create_app


def test_a_value_is_shown_only_after_the_block_of_its_seed(network: Network) -> None:
    """Neither the settler nor anybody else learns the sample before the block hash is fixed. Covers: A06, A57"""
    client = TestClient(create_app(network.chain, network.beacon))
    assert client.get("/v1/beacon/1").json()["value"] == "0x" + network.beacon.value(1).hex()
    early = client.get("/v1/beacon/2")
    assert (early.status_code, early.json()["code"], early.json()["wait_for_block"]) == (425, "beacon_too_early", None)

    network.post([network.job("one")])
    posted = network.chain.head().number
    behind = posted + network.deployment.constants.seed_blocks + 1
    while network.chain.head().number < behind:
        answer = client.get("/v1/beacon/2")
        assert (answer.status_code, answer.json()["wait_for_block"]) == (425, behind)
        assert answer.headers["content-type"] == "application/problem+json"
        network.mine(1)
    assert client.get("/v1/beacon/2").json() == {"epoch_id": 2, "value": "0x" + network.beacon.value(2).hex()}


def test_an_empty_epoch_needs_no_seed(network: Network) -> None:
    """An idle network posts on without waiting; values already posted are public."""
    client = TestClient(create_app(network.chain, network.beacon))
    network.post([])
    assert client.get("/v1/beacon/2").status_code == 200
    assert client.get("/v1/beacon/1").status_code == 200
    assert client.get("/v1/beacon/3").status_code == 425


def test_a_chain_that_ran_out_says_so(network: Network) -> None:
    """Beyond its last value the beacon names its range."""
    client = TestClient(create_app(network.chain, network.beacon))
    answer = client.get("/v1/beacon/1025")
    assert (answer.status_code, answer.json()["code"]) == (404, "beacon_exhausted")
