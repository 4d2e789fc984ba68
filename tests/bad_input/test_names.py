"""Names that are paths or URLs: nothing outside is read, written or fetched."""

import itertools
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.texts import encode_texts
from contracts.record.errors import LogUnavailable, WrongLog
from contracts.record.log_source import FolderLog
from tests.bad_input.place import ALWAYS, Place, files, unchanged
from tests.integration.backend.worker.bench import KEYS

pytestmark = pytest.mark.chain
HASH = "0x" + "ab" * 32
TRICKS = (
    "..", "../assay.db", "../../../../etc/passwd", "/etc/passwd", "//etc/passwd", "....//....//assay.db",
    "..%2fassay.db", "%2e%2e%2fassay.db", "%252e%252e%252fassay.db", "..%5cassay.db", "..%c0%afassay.db",
    "%2fetc%2fpasswd", HASH + "%00", HASH + "%00.jpg", HASH + "%0a", HASH + "/..", HASH + "%2f..%2f..%2fassay.db",
    "%00", "%ff%fe", "loose", "loose%2f" + HASH, "." + HASH, "~", "file:%2f%2f%2fetc%2fpasswd", "0X" + "ab" * 32,
    HASH.upper(), "0x" + "%EF%BC%91" * 64, "0x" + "%D0%B0" * 64, HASH + "%20", "%20" + HASH, "*",
)  # fmt: skip
PLACES = ("/v1/blobs/{}", "/v1/log/blobs/{}", "/v1/workloads/{}", "/v1/orders/{}", "/v1/orders/{}/receipt")
PLACES += ("/v1/log/epochs/{}.jsonl", "/v1/lanes/{}/0x" + "11" * 20, "/v1/log/{}", "/{}")


@pytest.mark.parametrize("trick", TRICKS)
def test_no_path_leads_out(place: Place, trick: str) -> None:
    """Protects the machine's files: no spelling of a path reads or writes one. Covers: A49"""
    outside = Path(place.bench.home).parent
    before = files(outside)
    with unchanged(place.bench):
        for pattern, method in itertools.product(PLACES, ("GET", "PUT")):
            target = pattern.format(trick)
            status, body = _raw(place, method, target)
            assert 400 <= status < 500, (method, target, status, body[:200])
            assert b"root:" not in body
            assert b"SQLite format" not in body
    assert files(outside) == before


def _raw(place: Place, method: str, target: str) -> tuple[int, bytes]:
    """A request whose target nobody normalises on the way."""
    host, port = place.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = f"{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\r\nx"
        connection.sendall(head.encode("ascii"))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    first, _, body = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), body


def test_links_in_the_blob_folder_are_not_followed(place: Place, tmp_path: Path) -> None:
    """Protects the machine's files from a name that was made a link: it counts as lost and can be put again.

    Covers: A49
    """
    secret = tmp_path / "secret"
    secret.write_bytes(b"a secret of this machine")
    data = b"the right bytes"
    name, blobs = to_hex(keccak(data)), place.bench.home / "blobs"
    for target in (secret, Path("/etc/passwd"), Path("/dev/zero"), tmp_path):
        link = blobs / name
        link.symlink_to(target)
        try:
            for path in ("/v1/blobs/", "/v1/log/blobs/"):
                answer = place.http.get(f"{place.url}{path}{name}")
                assert answer.status_code == 404, (target, answer.text)
                place.refused(answer, 404, "unknown_blob", name, way_out=f"PUT /v1/blobs/{name}")
        finally:
            link.unlink()
    place.put(data)
    assert place.http.get(f"{place.url}/v1/blobs/{name}").content == data
    assert secret.read_bytes() == b"a secret of this machine"


def test_links_in_a_mirror_show_nothing(tmp_path: Path) -> None:
    """Protects who reads a mirror of the log: bytes that are not the hash's are refused. Covers: A49"""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "epochs").mkdir()
    (tmp_path / "blobs" / HASH).symlink_to("/etc/passwd")
    log = FolderLog(tmp_path)
    with pytest.raises(WrongLog, match="altered"):
        log.blob(HASH)
    for trick in ("../secret", "/etc/passwd", "..", HASH + "\0"):
        with pytest.raises((LogUnavailable, WrongLog)):
            log.blob(trick)


# ------------------------------------------------------------ no URL is ever fetched


@contextmanager
def listener() -> Iterator[tuple[str, list[Any]]]:
    """A port that notes whoever connects."""
    heard: list[Any] = []
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    stop = threading.Event()

    def listen() -> None:
        while not stop.is_set():
            try:
                connection, peer = server.accept()
            except TimeoutError:
                continue
            heard.append(peer)
            connection.close()

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}", heard
    finally:
        stop.set()
        thread.join()
        server.close()


class Connections:
    """Where this process connects to, heard from the interpreter itself."""

    def __init__(self) -> None:
        self.ports: set[Any] = set()
        self.is_on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: Any) -> None:
        if event == "socket.connect" and self.is_on:
            self.ports.add(arguments[1])


def test_no_url_is_fetched(place: Place) -> None:
    """Protects the backend's network: URLs in prompts, fields, paths and headers are text. Covers: A49

    The backend runs in this process, so whatever it connects to is heard.
    """
    connections = Connections()
    rpc, own = int(place.bench.url.rsplit(":", 1)[1]), int(place.url.rsplit(":", 1)[1])
    with listener() as (url, heard):
        connections.is_on = True
        _say_everywhere(place, url)
        for other in ("http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "gopher://127.0.0.1:70/_x"):
            _say_everywhere(place, other)
        connections.is_on = False
        assert heard == []
    assert {port for _, port, *_ in connections.ports} <= {rpc, own}


def _say_everywhere(place: Place, url: str) -> None:
    for text in (url, f"![x]({url}) <img src={url}>"):
        assert place.http.post(place.url + "/v1/orders", json=place.order(**place.asking(text))).is_success
        asked = {"workload_id": ALWAYS.workload_id(), "texts": [text]}
        assert place.http.post(place.url + "/v1/tokenize", json=asked).is_success
    place.http.post(place.url + "/v1/orders", json=place.order(texts_hash=place.put(url.encode())))
    body = place.order()
    for field in ("signer", "signature", "order"):
        place.http.post(place.url + "/v1/orders", json=body | {field: url})
    place.http.post(place.url + "/v1/orders", json=body | {"callback": url, "webhook_url": url, "$ref": url})
    lent = place.lent()
    output = place.put(encode_texts([url]))
    place.http.post(place.url + "/v1/operator/commitments", json=place.commitment(lent, output_root=output))
    headers = {name: url for name in ("referer", "origin", "x-forwarded-for", "x-forwarded-host", "host", "forwarded")}
    for path in ("/v1/network", f"/v1/orders?requester={url}", "/v1/orders?requester=" + KEYS["alice"].address):
        place.http.get(place.url + path, headers=headers)
    place.http.get(f"{place.url}/v1/blobs/{url}")
    place.http.request("GET", f"{place.url}/v1/blobs/%68ttp%3a%2f%2f{url.split('//')[1]}")
