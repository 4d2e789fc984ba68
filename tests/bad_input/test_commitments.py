"""Commitments, leases and heartbeats that do not fit. Each: a clear problem, nothing changed, nothing lost."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.protocol.packed import pack
from tests.bad_input.place import ALWAYS, OUTPUT, STRANGER, Place, table_rows
from tests.integration.backend.worker.bench import KEYS

pytestmark = pytest.mark.chain
COMMITMENTS, LEASES, BEATS = "/v1/operator/commitments", "/v1/operator/leases", "/v1/operator/heartbeats"
NODE = KEYS["node"].address
ZERO = to_hex(ZERO32)


def refuses(place: Place, path: str, body: Any, status: int, code: str, *named: object, way_out: str) -> None:
    """The call is refused, and nothing changes."""
    place.refuses("POST", path, status, code, *named, way_out=way_out, json=body)


def test_by_the_wrong_node(place: Place) -> None:
    """Protects the node that holds the job, and the requester from answers of others. Covers: A01"""
    order_id = place.lent()
    place.put(OUTPUT)
    stolen = place.commitment(order_id, STRANGER)
    refuses(place, COMMITMENTS, stolen, 409, "lease_not_held", STRANGER.address, order_id, way_out=f"POST {LEASES}")
    forged = place.commitment(order_id) | {"signature": stolen["signature"]}
    refuses(place, COMMITMENTS, forged, 401, "wrong_signer", NODE, way_out="sign the EIP-712 digest")
    assert place.post(COMMITMENTS, place.commitment(order_id)).json()["new"] is True


def test_without_a_lease(place: Place) -> None:
    """Protects the order of things: a job is lent before it is delivered."""
    order_id, unknown = place.accepted(), "0x" + "ab" * 32
    refuses(place, COMMITMENTS, place.commitment(order_id), 409, "lease_not_held", NODE, way_out=LEASES)
    refuses(
        place, COMMITMENTS, place.commitment(unknown), 404, "unknown_order", unknown, way_out="POST it to /v1/orders"
    )


def test_late(place: Place) -> None:
    """Protects the next node to get the job: late work is refused, with the times."""
    order_id = place.lent(expires_in_s=-5)
    place.put(OUTPUT)
    refuses(
        place, COMMITMENTS, place.commitment(order_id), 409, "lease_expired", order_id, NODE, way_out="send heartbeats"
    )
    beat = place.request("heartbeat", order_id)
    refuses(place, BEATS, beat, 409, "lease_expired", order_id, way_out="late work is not paid")


def test_twice_and_at_once(place: Place) -> None:
    """Protects the ledger: one job is delivered once, however often and however fast it is sent. Covers: A45, A59"""
    order_id = place.lent()
    place.put(OUTPUT)
    body = place.commitment(order_id)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: place.http.post(place.url + COMMITMENTS, json=body), range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["new"] for answer in answers) == [False] * 99 + [True]
    assert len({answer.json()["digest"] for answer in answers}) == 1
    assert len([row for row in table_rows(place.bench.home)["commitment"] if order_id in row]) == 1


def test_contradicting(place: Place) -> None:
    """Protects the requester: the first answer stands, the other is refused with both digests, and kept once, since its
    node signed both."""
    order_id = place.lent()
    place.put(OUTPUT)
    kept = place.post(COMMITMENTS, place.commitment(order_id)).json()["digest"]
    other = place.put(pack([[1] * 8]))
    body = place.commitment(order_id, output_root=other)
    assert place.http.post(place.url + COMMITMENTS, json=body).status_code == 409
    refuses(place, COMMITMENTS, body, 409, "contradicting_commitment", order_id, kept, way_out="contradicts it")


def test_output_that_was_not_put(place: Place) -> None:
    """Protects the requester: nothing is paid for an answer that nobody has."""
    name = to_hex(keccak(b"withheld"))
    body = place.commitment(place.lent(), output_root=name)
    refuses(
        place,
        COMMITMENTS,
        body,
        422,
        "blob_missing",
        f"commitment.output_root = {name}",
        way_out=f"PUT /v1/blobs/{name}",
    )


@pytest.mark.parametrize(("tokens", "units"), [(8, 0), (8, 7), (8, 9), (8, 2**32 - 1), (9, 9), (9, 8)])
def test_units_that_are_not_the_outputs_or_more_than_ordered(place: Place, tokens: int, units: int) -> None:
    """Protects the requester from an inflated meter, and the node's pay from one that is too low. Covers: A55"""
    body = place.commitment(place.lent(), units=units, output_root=place.put(pack([[5] * tokens])))
    refuses(
        place, COMMITMENTS, body, 422, "units_refused", f"commitment.units = {units}", f"the output has {tokens}",
        way_out="the order allows 8",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("output", "why"),
    [
        (b"", "has 0 bytes"),
        (b"Because.", "lists"),
        (pack([[5] * 8])[:-1], "says that its lists have 8 words"),
        (pack([]), "answers 0 texts, 1 were asked"),
        (pack([[5] * 4, [5] * 4]), "answers 2 texts, 1 were asked"),
    ],
)
def test_outputs_that_answer_no_order(place: Place, output: bytes, why: str) -> None:
    """Protects the requester: what is paid for can be read, a text for a text."""
    body = place.commitment(place.lent(), output_root=place.put(output))
    refuses(place, COMMITMENTS, body, 422, "output_refused", why, way_out="a list of words for each text")


def test_requests_that_are_not_the_nodes(place: Place) -> None:
    """Protects nodes: nobody asks for or extends a job in another's name, now or later. Covers: A19"""
    workload, now = {"workload_id": ALWAYS.workload_id()}, int(time.time())
    forged = place.request("lease", ZERO) | {"signature": place.request("lease", ZERO, STRANGER)["signature"]}
    refuses(place, LEASES, forged | workload, 401, "wrong_signer", NODE, way_out="sign the EIP-712 digest")
    unknown = place.request("lease", ZERO, STRANGER) | workload
    refuses(place, LEASES, unknown, 401, "unknown_node", STRANGER.address, way_out="StakeManager.addNodeKey")
    for at in (0, now - 100, now + 100, 2**40 - 1):
        stale = place.request("lease", ZERO, timestamp=at) | workload
        refuses(place, LEASES, stale, 401, "stale_request", f"request.timestamp = {at}", way_out="set the node's clock")
    beat = place.request("heartbeat", ZERO) | workload
    refuses(place, LEASES, beat, 401, "wrong_action", "'heartbeat'", way_out="with action 'lease'")
    elsewhere = place.request("lease", ZERO) | {"workload_id": "0x" + "cd" * 32}
    refuses(place, LEASES, elsewhere, 404, "unknown_workload", "0x" + "cd" * 32, way_out="GET /v1/network")
    refuses(place, BEATS, place.request("heartbeat", ZERO), 404, "unknown_order", ZERO, way_out="/v1/orders")
