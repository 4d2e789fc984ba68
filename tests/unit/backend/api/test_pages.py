"""The pages as files: what is served, with which headers, and nothing else of the disk."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from backend.api.http import create_http
from backend.api.pages import PAGES, WEB
from tests.unit.backend.world import World

FOLDER = Path(str(WEB))
ASSETS = sorted(str(p.relative_to(FOLDER)) for p in FOLDER.rglob("*") if p.suffix in (".js", ".css", ".svg", ".wasm"))


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One for all: nothing here changes what is served."""
    world = World(tmp_path_factory.mktemp("pages"))
    with TestClient(create_http(world.services), raise_server_exceptions=False) as client:
        yield client
    world.database.close()


@pytest.mark.parametrize("path", [*PAGES, *(f"/web/{name}" for name in ASSETS)])
def test_every_file_is_served_under_one_policy(http: TestClient, path: str) -> None:
    """Protects readers: right types, no sniffing, no frames, no script or connection but the backend's own,
    and WebAssembly where a job is run again only."""
    answer = http.get(path)
    kinds = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "wasm": "application/wasm"}
    assert answer.headers["content-type"].split(";")[0] == kinds.get(path.rsplit(".", 1)[-1], "text/html")
    assert answer.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["form-action"] == "'none'"
    assert policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["script-src"] == ("'self' 'wasm-unsafe-eval'" if path.startswith("/web/rerun/") else "'self'")
    assert http.head(path).status_code == 200


def test_files_are_asked_for_anew_and_answered_briefly(http: TestClient) -> None:
    """Protects speed and freshness: compressed where understood, 304 while the same, never kept unasked."""
    packed = http.get("/wallet", headers={"accept-encoding": "gzip"})
    plain = http.get("/wallet", headers={"accept-encoding": "identity"})
    assert (packed.headers.get("content-encoding"), plain.headers.get("content-encoding")) == ("gzip", None)
    assert packed.content == plain.content == (WEB / PAGES["/wallet"]).read_bytes()
    assert int(packed.headers["content-length"]) < len(gzip.compress(plain.content)) + 1
    again = http.get("/wallet", headers={"if-none-match": packed.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert packed.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/web/../backend/errors.py", "/web/%2e%2e/api/http.py", "/web/..%2f..%2fpyproject.toml", "/web//etc/passwd",
        "/web/shared", "/web/shared/", "/web/shared/vendor/README.md", "/web/wallet/index.html", "/web/%00",
    ],
)  # fmt: skip
def test_nothing_else_of_the_disk_is_served(http: TestClient, path: str) -> None:
    """Protects the host: a path is looked up among the files read at the start, or it is no path. Covers: A49."""
    answer = http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "no_such_path")


def test_pages_hold_no_script_and_load_nothing_from_elsewhere() -> None:
    """Protects the policy's promise: HTML without inline script or style, and no URL of another host in our files."""
    ours = [p for p in FOLDER.rglob("*") if p.suffix in (".html", ".js", ".css") and "vendor" not in p.parts]
    for path in ours:
        text = path.read_text()
        assert not re.search(r"https?://", text), path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), path
        if path.suffix == ".html":
            assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|javascript:", text), path


@pytest.mark.parametrize(
    ("path", "open_to_all"),
    [("/v1/log/epochs/99.jsonl", True), (f"/v1/log/blobs/0x{'ab' * 32}", True), ("/v1/network", False), ("/", False)],
)
def test_other_hosts_pages_read_the_log_alone(http: TestClient, path: str, open_to_all: bool) -> None:
    """Protects auditors, whose own copy of a page reads the log and sees where it ends; nothing else is open."""
    answer = http.get(path, headers={"origin": "http://localhost:8000"})
    assert answer.headers.get("access-control-allow-origin") == ("*" if open_to_all else None)


def test_the_api_keeps_its_own_errors(http: TestClient) -> None:
    """Protects clients: the pages take no path of the API, and a wrong method is still told as such."""
    assert http.post("/wallet").json()["code"] == "method_not_allowed"
    assert http.get("/v1/nothing").json()["code"] == "no_such_path"
