"""Serves the pages of backend/web. All files are read at startup, so no request path ever reaches the disk.

The pages load nothing from other hosts and have no inline scripts; the policy below makes browsers enforce it. They
reach the chain through the reader's own wallet only. Browsers revalidate every file, so a new version shows at once.
"""

import gzip
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request, Response

WEB = files("backend") / "web"
PAGES = {"/": "public/index.html", "/wallet": "wallet/index.html", "/web/rerun/": "rerun/index.html"}
"""Path of a page -> its file. Every other file lies under /web/."""

_RERUN = "rerun/"
"""The page that runs jobs again computes in WebAssembly, which no other page may."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
_POLICY = (
    "default-src 'none'; script-src 'self'{}; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "cache-control": "no-cache",
    "cross-origin-opener-policy": "same-origin-allow-popups",
    "referrer-policy": "no-referrer",
    "vary": "accept-encoding",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class _File:
    body: bytes
    packed: bytes
    media_type: str
    etag: str
    policy: str

    @staticmethod
    def read(path: Traversable, policy: str) -> "_File":
        body = path.read_bytes()
        media_type = _TYPES["." + path.name.rsplit(".", 1)[-1]]
        return _File(body, gzip.compress(body, mtime=0), media_type, f'"{sha256(body).hexdigest()[:32]}"', policy)

    def answer(self, request: Request) -> Response:
        headers = {**_HEADERS, "etag": self.etag, "content-security-policy": self.policy}
        if self.etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(self.packed, headers={**headers, "content-encoding": "gzip"}, media_type=self.media_type)
        return Response(self.body, headers=headers, media_type=self.media_type)


def pages_router() -> APIRouter:
    """GET and HEAD of the pages and the files that they load."""
    router = APIRouter(include_in_schema=False)
    found = dict(_walk(WEB, ""))
    places = {f"/web/{name}": name for name in found if not name.endswith(".html")}
    for path, name in (PAGES | places).items():
        policy = _POLICY.format(" 'wasm-unsafe-eval'" if name.startswith(_RERUN) else "")
        router.add_api_route(path, _File.read(found[name], policy).answer, methods=["GET", "HEAD"])
    return router


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif "." + entry.name.rsplit(".", 1)[-1] in _TYPES:
            found.append((prefix + entry.name, entry))
    return found
