"""Inputs that no node should be bothered with, and blobs that are not what they are called."""

import os

import pytest

from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.texts import encode_texts
from tests.bad_input.place import ALWAYS, Place, files, open_place
from tests.world.prompts import prompts_of

pytestmark = pytest.mark.chain
LIMIT = 1024 * 1024
OCTETS = {"content-type": "application/octet-stream"}


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"", "is not a JSON array of texts: b''"),
        (b"Why is the sky blue?", "is not a JSON array of texts: b'Why is"),
        (b"[]", "holds no text"),
        (b'[""]', "no visible character in text 0"),
        (b'["a"," \\n\\t "]', "no visible character in text 1"),
        (b"[1]", "is not a JSON array of texts: b'[1]'"),
        (b'{"0":"a"}', "is not a JSON array of texts"),
        (b'"a"', "is not a JSON array of texts"),
        (b"[null]", "is not a JSON array of texts"),
        (b'["\xff\xfe"]', "is not UTF-8: invalid start byte at byte 2"),
        (b'["a\xc3"]', "is not UTF-8"),
        (b"\xff\xfe[\x00", "is not UTF-8"),
        (b'["\\ud800"]', "is not a JSON array of texts"),
        (b'[ "a" ]', "is not canonical JSON"),
        (b'["\\u0061"]', "is not canonical JSON"),
        (b'["a"]\n', "is not canonical JSON"),
        (b"[" * 5000 + b"]" * 5000, "is not a JSON array of texts"),
        (b'["a"' + b"]" * 5000, "is not a JSON array of texts"),
        (b'["a","b","c","d"]', "holds 4 texts, more than 3"),
        (encode_texts(["x" * 401]), "has 401 bytes in text 0, more than 400"),
        (encode_texts(["a", "x " * 150]), "tokens in text 1"),
        (b'["a\\u0000b"]', None),
    ],
)
def test_input_that_is_no_list_of_texts(place: Place, data: bytes, named: str | None) -> None:
    """Protects nodes: empty, blank, non-UTF-8, non-canonical, over-long and deep inputs never reach one. Covers: A58"""
    if named is None:  # a NUL is a character like any other: nothing downstream may trip over it
        asked = place.asking("a\0b")
        assert asked["texts_hash"] == place.put(data)
        assert place.post("/v1/orders", place.order(**asked, max_price=1000)).status_code == 201
        return
    body = place.order(texts_hash=place.put(data), max_price=1000)
    place.refuses("POST", "/v1/orders", 422, "input_refused", named, way_out="manifest says what an input", json=body)


def test_input_that_was_not_put(place: Place) -> None:
    """Protects nodes: an order whose input nobody has is not lent."""
    name = to_hex(keccak(b"never put"))
    place.refuses(
        "POST", "/v1/orders", 422, "blob_missing", f"terms.texts_hash = {name}", way_out=f"PUT /v1/blobs/{name} first",
        json=place.order(texts_hash=name),
    )  # fmt: skip


def test_blob_under_another_hash(place: Place) -> None:
    """Protects everybody who asks for bytes by their hash. Covers: A49"""
    named, actual = to_hex(keccak(b"one")), to_hex(keccak(b"two"))
    place.refuses(
        "PUT", f"/v1/blobs/{named}", 422, "blob_hash_mismatch", named, actual, way_out="put it under one of these",
        content=b"two",
    )  # fmt: skip


@pytest.mark.parametrize("announced", [True, False])
def test_huge_blob(place: Place, announced: bool) -> None:
    """Protects memory and disk: a body is refused by its announced length, or while it comes. Covers: A52"""
    pieces = [b"x" * 65536] * (LIMIT // 65536 + 1)
    content = b"".join(pieces) if announced else iter(pieces)
    place.refuses("PUT", "/v1/blobs/0x" + "ab" * 32, 413, "body_too_large", LIMIT, way_out="send less", content=content)


def test_largest_blob(place: Place) -> None:
    """Protects honest users of the limit: what is exactly as large is kept."""
    data = os.urandom(LIMIT)
    name = place.put(data)
    assert place.http.get(f"{place.url}/v1/blobs/{name}").content == data


def test_a_flood_of_blobs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the disk: bytes that no order names are bounded, named ones stay, honest orders pass. Covers: A52"""
    monkeypatch.setattr("backend.store.home.MAX_LOOSE_BYTES", 10 * 4096)
    with open_place(tmp_path_factory.mktemp("flooded")) as place:
        asked = place.asking("stays")
        named, prompts = asked["texts_hash"], asked["prompt_root"]
        place.post("/v1/orders", place.order(**asked))
        for number in range(60):
            place.put(b"flood %d" % number)
        loose = [name for name in files(place.bench.home) if name.startswith("blobs/loose/")]
        assert len(loose) == 10
        assert place.http.get(f"{place.url}/v1/blobs/{named}").content == b'["stays"]'
        assert place.http.get(f"{place.url}/v1/blobs/{prompts}").content == prompts_of(ALWAYS, ["stays"])
        assert place.accepted()
