"""The HTTP surface: exact paths, strict bodies, bounded sizes, and problems that name what is wrong."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from backend.api import examples
from backend.api.http import create_http
from backend.api.limits import JSON_LIMIT_BYTES
from backend.domain.orders import check_signature
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.packed import packed_root, unpack
from contracts.protocol.records import Order
from contracts.protocol.texts import decode_texts
from contracts.protocol.typed_data import Domain
from contracts.protocol.wire import Problem, SubmitOrder
from tests.unit.backend.world import (
    MANIFEST,
    NODE,
    OUTPUT,
    PROMPT,
    REQUESTER,
    TEXTS,
    WORKLOAD,
    World,
    commitment_for,
    signed,
    terms,
    verdict_on,
)
from tests.world.node_fakes import BYTE_TOKENIZER

UNKNOWN = "0x" + "ab" * 32
JSON = {"content-type": "application/json"}


@pytest.fixture
def http(world: World) -> Iterator[TestClient]:
    with TestClient(create_http(world.services), raise_server_exceptions=False) as client:
        yield client


def order_body(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = signed(Order(requester=REQUESTER.address, spend_cap=180, terms=terms())).model_dump()
    return body | changes


def assert_problem(response: Any, status: int, code: str, *words: str) -> None:
    assert response.headers["content-type"] == "application/problem+json"
    problem = Problem.model_validate_json(response.content)
    assert (response.status_code, problem.status, problem.code) == (status, status, code), problem
    for word in words:
        assert word in problem.detail


def test_life_of_a_job(world: World, http: TestClient) -> None:
    """Protects the agreement: every path of wire.py answers as it says there."""
    name = to_hex(keccak(b"hello"))
    assert http.put(f"/v1/blobs/{name}", content=b"hello").status_code == 201
    assert http.put(f"/v1/blobs/{name}", content=b"hello").status_code == 200
    assert http.get(f"/v1/blobs/{name}").content == b"hello"
    assert http.get("/v1/network").json()["price_sheet"][0]["workload_id"] == WORKLOAD
    assert http.get(f"/v1/workloads/{WORKLOAD}").content == MANIFEST.canonical()
    assert http.get(f"/v1/workloads/{WORKLOAD}/tokenizer").content == BYTE_TOKENIZER
    cut = http.post("/v1/tokenize", json={"workload_id": WORKLOAD, "texts": decode_texts(TEXTS)}).json()
    assert cut == {"prompts": unpack(PROMPT), "prompt_root": to_hex(packed_root(PROMPT))}
    accepted = http.post("/v1/orders", json=order_body())
    order_id = accepted.json()["order_id"]
    assert (accepted.status_code, accepted.json()["state"]) == (201, "queued")
    assert http.post("/v1/orders", json=order_body()).status_code == 200
    assert http.get(f"/v1/lanes/{REQUESTER.address}/{REQUESTER.address}").json()["open_max"] == 180
    leased = http.post("/v1/operator/leases", json=world.ask().model_dump())
    assert leased.json()["lease"]["order_id"] == order_id
    assert http.post("/v1/operator/heartbeats", json=world.beat(order_id).model_dump()).status_code == 200
    delivered = http.post("/v1/operator/commitments", json=commitment_for(order_id).model_dump())
    assert delivered.json()["new"] is True
    nothing = http.post("/v1/operator/leases", json=world.ask().model_dump())
    assert (nothing.status_code, nothing.content) == (204, b"")
    digest = world.close_epoch()[0].digest
    world.event("EpochPosted", id=1)
    assert http.post("/v1/verifier/verdicts", json=verdict_on(digest).model_dump()).json()["new"] is True
    assert http.get(f"/v1/orders/{order_id}").json()["receipt"]["epoch_id"] == 1
    assert [o["order_id"] for o in http.get("/v1/orders", params={"requester": REQUESTER.address}).json()] == [order_id]
    assert http.get("/v1/epochs").json()[0]["state"] == "posted"
    assert http.get("/v1/nodes").json() == []
    assert http.get("/v1/log/epochs/1.jsonl").content == b""
    assert http.get(f"/v1/log/blobs/{to_hex(packed_root(OUTPUT))}").content == OUTPUT
    (answer,) = http.get(f"/v1/orders/{order_id}/answer").json()
    assert (answer["finish_reason"], answer["token_ids"]) == ("length", unpack(OUTPUT)[0])


@pytest.mark.parametrize(
    ("status", "code", "method", "path"),
    [
        (404, "no_such_path", "GET", "/v1/secrets"),
        (404, "unknown_order", "GET", f"/v1/orders/{UNKNOWN}"),
        (404, "unknown_workload", "GET", f"/v1/workloads/{UNKNOWN}"),
        (404, "unknown_blob", "GET", f"/v1/blobs/{UNKNOWN}"),
        (404, "unknown_blob", "GET", f"/v1/log/blobs/{UNKNOWN}"),
        (404, "unknown_epoch", "GET", "/v1/log/epochs/9.jsonl"),
        (405, "method_not_allowed", "DELETE", f"/v1/orders/{UNKNOWN}"),
        (422, "invalid_field", "GET", "/v1/orders/0xAB"),
        (422, "invalid_field", "GET", "/v1/orders?requester=me"),
        (422, "invalid_field", "GET", "/v1/log/epochs/0.jsonl"),
        (422, "invalid_field", "GET", "/v1/log/epochs/99999999999999999999999999.jsonl"),
        (422, "invalid_field", "GET", "/v1/blobs/..%5c..%5cassay.db"),
        (404, "no_such_path", "GET", "/v1/blobs/..%2f..%2fassay.db"),
        (422, "invalid_field", "GET", "/v1/log/blobs/%00"),
        (422, "blob_hash_mismatch", "PUT", f"/v1/blobs/{UNKNOWN}"),
    ],
)
def test_refused_paths(http: TestClient, status: int, code: str, method: str, path: str) -> None:
    """Protects callers: every wrong path is told by code; no path reaches a file. Covers: A49"""
    assert_problem(http.request(method, path), status, code)


def _set(body: dict[str, Any], path: str, value: object) -> bytes:
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target[parent]
    target[last] = value
    return json.dumps(body).encode()


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("order.spend_cap", 1.5, "1.5"),
        ("order.spend_cap", float("nan"), "nan"),
        ("order.spend_cap", float("inf"), "inf"),
        ("order.spend_cap", "180", "'180'"),
        ("order.spend_cap", True, "True"),
        ("order.spend_cap", -1, "-1"),
        ("order.spend_cap", 2**64, str(2**64)),
        ("order.requester", "0x" + "AB" * 20, "ABAB"),
        ("order.terms.deadline", None, "None"),
        ("order.terms.extra", 1, "1"),
        ("signature", "0x00", "0x00"),
        ("order.terms.params.max_new_tokens", 8.0, "8.0"),
        ("order.terms.params.max_new_tokens", [], "[]"),
    ],
)
def test_invalid_fields_are_named(http: TestClient, path: str, value: object, shown: str) -> None:
    """Protects signers from silent conversions: a field that is not exactly its type is named with its value."""
    response = http.post(
        "/v1/orders", content=_set(order_body(), path, value), headers={"content-type": "application/json"}
    )
    assert_problem(response, 422, "invalid_field", f"body.{path}", shown)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 30_000, b'{"order":' * 7_000])
def test_bodies_that_are_no_json(http: TestClient, body: bytes) -> None:
    """Protects the process from what is not JSON, or endlessly deep."""
    response = http.post("/v1/orders", content=body, headers=JSON)
    assert response.status_code in (400, 422)
    assert Problem.model_validate_json(response.content).code in ("malformed_body", "invalid_field")


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_are_bounded(world: World, http: TestClient, chunked: bool) -> None:
    """Protects memory: bodies are counted as they come, whatever their announced length."""

    def body(size: int) -> Any:
        return iter([b"x" * 1000] * (size // 1000)) if chunked else b"x" * size

    assert_problem(http.post("/v1/orders", content=body(JSON_LIMIT_BYTES + 2000)), 413, "body_too_large")
    too_much = body(world.blobs.max_bytes + 2000)
    assert_problem(
        http.put(f"/v1/blobs/{UNKNOWN}", content=too_much), 413, "body_too_large", str(world.blobs.max_bytes)
    )


def test_refusals_have_their_status(world: World, http: TestClient) -> None:
    """Protects callers that decide by status and code."""
    post = http.post
    assert_problem(post("/v1/orders", json=order_body(signer=NODE.address)), 401, "wrong_signer", NODE.address)
    high_v = order_body()["signature"][:-2] + "1d"
    assert_problem(post("/v1/orders", json=order_body(signature=high_v)), 401, "bad_signature")
    assert post("/v1/orders", json=order_body()).status_code == 201
    again = signed(Order(requester=REQUESTER.address, spend_cap=180, terms=terms(salt=2))).model_dump()
    assert_problem(post("/v1/orders", json=again), 409, "cap_too_low", "360")
    dear = signed(Order(requester=REQUESTER.address, spend_cap=180, terms=terms(unit_price=1))).model_dump()
    assert_problem(post("/v1/orders", json=dear), 422, "price_too_low", "terms.unit_price = 1")
    late = world.ask(timestamp=1)
    assert_problem(post("/v1/operator/leases", json=late.model_dump()), 401, "stale_request")


def test_defects_are_logged_and_not_told(world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Protects the operator's secrets and its ability to find a defect. Covers: A51"""
    app = create_http(world.services)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("the inside")

    with caplog.at_level(logging.ERROR), TestClient(app, raise_server_exceptions=False) as client:
        response = client.get("/broken")
    assert_problem(response, 500, "internal_error")
    assert b"inside" not in response.content
    assert "RuntimeError: the inside" in caplog.text


def test_acknowledged_only_when_durable(world: World, http: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects nodes: when the commit fails there is no acknowledgement, and the retry is new. Covers: A45"""
    world.order()
    order_id = world.lend().lease.order_id
    body = commitment_for(order_id).model_dump()
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise OSError("disk full")

        patch.setattr("sqlalchemy.engine.default.DefaultDialect.do_commit", fail)
        assert_problem(http.post("/v1/operator/commitments", json=body), 500, "internal_error")
    answer = http.post("/v1/operator/commitments", json=body)
    assert (answer.status_code, answer.json()["new"]) == (200, True)


def test_examples_are_real() -> None:
    """Protects readers of the description: its example order verifies."""
    shown = SubmitOrder.model_validate(examples.SUBMIT_ORDER["example"]["value"])
    check_signature(shown.order, shown.signer, shown.signature, Domain(31337, "0x" + "e5" * 20))
