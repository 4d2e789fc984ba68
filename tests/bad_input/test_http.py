"""What is no request of the agreement at all: malformed JSON, wrong types, endless and slow requests."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from backend.api import limits
from backend.api.http import create_http
from backend.api.idle_timeout import IdleTimeoutProtocol
from contracts.protocol.wire import Problem
from tests.bad_input.place import JSON, OUTPUT, Place, unchanged
from tests.integration.backend.api.coordinator import listening
from tests.unit.backend.world import World
from verifier.beacon.chain import BeaconChain
from verifier.beacon.service import create_app

pytestmark = pytest.mark.chain
POSTS = ("/v1/orders", "/v1/operator/leases", "/v1/operator/heartbeats", "/v1/operator/commitments")
POSTS += ("/v1/operator/canary", "/v1/verifier/verdicts")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"{", "at position 1, near '{'"),
        (b'{"order": }', "near '{\"order\": }'"),
        (b"{'order': 1}", "near \"{'order': 1}\""),
        (b'{"a": 1} {"a": 1}', "Extra data at position 9"),
        (b'{"a": 1,}', "at position"),
        (b'{"order": 1, "order": 1}', "the key 'order' occurs twice"),
        (b'{"order": {"salt": 1, "salt": 2}}', "the key 'salt' occurs twice"),
        (b'{"order": "\xff"}', "byte 0xff is not UTF-8"),
        (b'\xef\xbb\xbf{"order": 1}', "BOM"),
        (b'{"order": ' + b"9" * 5000 + b"}", "a number has 5000 digits"),
        (b"[" * 30_000, "30000 opening brackets"),
        (b'{"a":' * 9_000, "9000 opening brackets"),
        ('{"order": "é'.encode("utf-16"), "is not UTF-8"),
    ],
)
def test_malformed_json(place: Place, path: str, body: bytes, named: str) -> None:
    """Protects signers from second meanings: what is not exactly JSON is told where, and does nothing."""
    place.refuses(
        "POST", path, 400, "malformed_body", named, way_out="send the object that the schema describes",
        content=body, headers=JSON,
    )  # fmt: skip


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"order"', b"true", b"NaN", b"{}"])
@pytest.mark.parametrize("path", POSTS)
def test_json_that_is_no_record(place: Place, path: str, body: bytes) -> None:
    """Protects every endpoint from values of other shapes."""
    place.refuses("POST", path, 422, "invalid_field", "body", way_out="/openapi.json", content=body, headers=JSON)


def test_other_content_types(place: Place) -> None:
    """Protects browsers' users: a form of another site is no request here."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        place.refuses(
            "POST", "/v1/orders", 415, "not_json", kind.split(";")[0], way_out="application/json",
            content=json.dumps(place.order()), headers={"content-type": kind},
        )  # fmt: skip


INTEGERS = ("spend_cap", "terms.max_price", "terms.salt", "terms.deadline", "terms.copies")
WRONG_INTEGERS = (False, True, 1.0, 1.5, "1", "0x1", None, [], {}, -1, 2**64, 2**256, -(2**255), float("nan"))
WRONG_HEX = ("", "0x", "0x" + "AB" * 32, "ab" * 32, "0x" + "ab" * 31, "0x" + "ab" * 33, "0x" + "g" * 64, 1, None, False)
LOOK_ALIKES = ("0x" + "а" * 64, "0x" + "１" * 64, "0x" + "ab" * 32 + "\n", " 0x" + "ab" * 32, "0x" + "ab" * 32 + "\0")


def _with(body: Any, path: str, value: object) -> Any:
    *parents, last = path.split(".")
    target = body
    for parent in parents:
        target = target[parent]
    target[last] = value
    return body


@pytest.mark.parametrize("field", INTEGERS)
@pytest.mark.parametrize("value", WRONG_INTEGERS)
def test_false_where_an_integer_stands(place: Place, field: str, value: object) -> None:
    """Protects signers: booleans, strings, floats, negative and endless numbers are no integers of the agreement."""
    body = json.dumps(_with(place.order(), f"order.{field}", value))
    shown = repr(value)[:30]
    place.refuses(
        "POST", "/v1/orders", 422, "invalid_field", f"body.order.{field} = {shown}", way_out="/openapi.json",
        content=body, headers=JSON,
    )  # fmt: skip


@pytest.mark.parametrize("value", WRONG_HEX + LOOK_ALIKES)
def test_hashes_have_one_spelling(place: Place, value: object) -> None:
    """Protects ids from look-alikes: upper case, other scripts' digits, blanks, NUL, other lengths."""
    body = _with(place.order(), "order.terms.prompt_root", value)
    place.refuses(
        "POST",
        "/v1/orders",
        422,
        "invalid_field",
        "body.order.terms.prompt_root = ",
        way_out="/openapi.json",
        json=body,
    )


def test_addresses_have_one_spelling(place: Place) -> None:
    """Protects ids: the checksummed spelling of an address is another string, and is told so."""
    from eth_utils.address import to_checksum_address

    body = place.order()
    upper = to_checksum_address(body["order"]["requester"])
    body = _with(body, "order.requester", upper)
    place.refuses("POST", "/v1/orders", 422, "invalid_field", upper, way_out="/openapi.json", json=body)
    path = f"/v1/lanes/{upper}/{upper}"
    place.refuses("GET", path, 422, "invalid_field", upper, way_out="/openapi.json")


def test_fields_that_nobody_knows(place: Place) -> None:
    """Protects signers: what is not signed is not taken along."""
    for path in ("note", "order.note", "order.terms.note"):
        body = _with(place.order(), path, "x" * 5000)
        place.refuses("POST", "/v1/orders", 422, "invalid_field", f"body.{path}", way_out="/openapi.json", json=body)


def test_many_faults_are_told_shortly(place: Place) -> None:
    """Protects readers and logs: a body full of faults is answered on one bounded line."""
    body = place.order() | {f"field{i}" * 20: "x" * 500 for i in range(80)}
    place.refuses("POST", "/v1/orders", 422, "invalid_field", "and 76 more", way_out="/openapi.json", json=body)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("announced", [True, False])
def test_huge_json(place: Place, path: str, announced: bool) -> None:
    """Protects memory: counted as it comes. Covers: A52"""
    pieces = [b" " * 8192] * 9
    content = b"".join(pieces) if announced else iter(pieces)
    place.refuses("POST", path, 413, "body_too_large", 65536, way_out="send less", content=content, headers=JSON)


def test_long_targets_and_headers(place: Place) -> None:
    """Protects memory and logs. Covers: A52"""
    place.refuses("GET", "/v1/" + "a" * 4000, 414, "uri_too_long", 4004, way_out="GET /docs")
    place.refuses("GET", "/v1/orders?requester=" + "a" * 4000, 414, "uri_too_long", way_out="GET /docs")
    headers = {f"x-{i}": "a" * 1000 for i in range(20)}
    place.refuses("GET", "/v1/network", 431, "headers_too_long", way_out="send fewer", headers=headers)


def test_paths_and_methods_that_are_not_there(place: Place) -> None:
    """Protects callers: what is not there is said, with what was asked for."""
    place.refuses("GET", "/v1/secrets", 404, "no_such_path", "GET /v1/secrets", way_out="GET /docs lists")
    place.refuses("GET", "/%0d%0aSet-Cookie:x", 404, "no_such_path", "/%0d%0aSet-Cookie:x", way_out="GET /docs lists")
    for method in ("DELETE", "PATCH", "PUT", "TRACE"):
        place.refuses(
            method, "/v1/orders", 405, "method_not_allowed", f"{method} /v1/orders", way_out="GET /docs lists"
        )


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/v1/beacon/abc", 422, "not_an_epoch"),
        ("/v1/beacon/1.5", 422, "not_an_epoch"),
        ("/v1/beacon/..%2f..%2fkey", 404, "not_an_epoch"),
        ("/v1/secret", 404, "not_an_epoch"),
        ("/v1/beacon/0", 404, "beacon_exhausted"),
        ("/v1/beacon/-1", 404, "beacon_exhausted"),
        ("/v1/beacon/" + str(2**256), 404, "beacon_exhausted"),
        ("/v1/beacon/64", 425, "beacon_too_early"),
    ],
)
def test_beacon_asked_wrongly(place: Place, path: str, status: int, code: str) -> None:
    """Protects coming values: whatever is asked, the beacon shows none before its time."""
    values = BeaconChain(b"\7" * 32, 64)
    with listening(create_app(place.bench.chain, values)) as url, unchanged(place.bench):
        answer = httpx.get(url + path)
    problem = Problem.model_validate({k: v for k, v in answer.json().items() if k != "wait_for_block"})
    assert (answer.status_code, problem.code) == (status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert all(values.value(n).hex() not in answer.text for n in range(1, 65))


# ------------------------------------------------------------ slow and silent clients


@pytest.fixture
def hasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with little patience. Yields its URL."""
    monkeypatch.setattr(limits, "BODY_SECONDS", 1.0)
    monkeypatch.setattr(IdleTimeoutProtocol, "head_seconds", 1.0)
    world = World(tmp_path)
    with listening(create_http(world.services)) as url:
        yield url
    world.database.close()


def _connect(url: str, sent: bytes) -> socket.socket:
    parts = urlsplit(url)
    assert parts.hostname is not None
    found = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
    found.sendall(sent)
    return found


def test_slow_clients_keep_nobody_waiting(hasty: str) -> None:
    """Protects honest users: two hundred clients that send nothing more slow nobody down, and lose their place.

    Covers: A52
    """
    head = b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    halves = (b"", head, head + b"content-length: 1000\r\n\r\n{", head + b"transfer-encoding: chunked\r\n\r\n5\r\n{")
    with ExitStack() as stack:
        slow = [stack.enter_context(closing(_connect(hasty, halves[i % 4]))) for i in range(200)]
        started = time.monotonic()
        with httpx.Client(timeout=5.0) as http:
            for _ in range(30):
                assert http.get(f"{hasty}/v1/network").status_code == 200
        assert (time.monotonic() - started) / 30 < 0.25
        for index, each in enumerate(slow):
            answer = _rest(each)
            assert b"body_too_slow" in answer if index % 4 >= 2 else answer == b"", (index, answer)


def _rest(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    while piece := connection.recv(4096):
        found += piece
    return found


def test_slow_readers_keep_nobody_waiting(place: Place) -> None:
    """Protects honest users from clients that ask and do not read. Covers: A52"""
    name = place.put(OUTPUT)
    asked = f"GET /v1/blobs/{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode() * 50
    with ExitStack() as stack, unchanged(place.bench):
        for _ in range(50):
            stack.enter_context(closing(_connect(place.url, asked)))
        started = time.monotonic()
        for _ in range(10):
            assert place.http.get(f"{place.url}/v1/network").status_code == 200
        assert (time.monotonic() - started) / 10 < 1.0


def test_raw_garbage_is_no_defect(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Protects the process: bytes that are no HTTP end that connection alone, and log no trace."""
    garbage = (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100, b"A" * 100_000)
    for sent in garbage:
        with closing(_connect(place.url, sent)) as connection:
            connection.shutdown(socket.SHUT_WR)
            answer = _rest(connection)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 400")
    lengths = b"POST /v1/orders HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n"
    with closing(_connect(place.url, lengths + b"{}")) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert b" 400 " in _rest(connection)
    assert place.http.get(f"{place.url}/v1/network").status_code == 200
    assert "Traceback" not in caplog.text


def test_problems_are_one_line(place: Place) -> None:
    """Protects logs and terminals: whatever is sent comes back escaped."""
    evil = "0x\x1b[2J\r\nadmin=1\u202e" + "é" * 200
    response = place.http.post(f"{place.url}/v1/orders", json=place.order() | {"signer": evil, evil: 1})
    detail = Problem.model_validate_json(response.content).detail
    assert detail.isprintable(), detail
