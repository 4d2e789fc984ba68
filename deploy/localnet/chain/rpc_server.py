"""Serves the embedded chain over HTTP as JSON-RPC 2.0."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from deploy.localnet.chain.embedded import EmbeddedChain, RpcError

_BODY_LIMIT = 4 * 1024 * 1024
_PARSE_ERROR, _INVALID_REQUEST = -32700, -32600


def serve(chain: EmbeddedChain, host: str, port: int) -> ThreadingHTTPServer:
    """A server that answers from `chain`; call `serve_forever` on it. Port 0: a free one."""

    class RpcHandler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            if length > _BODY_LIMIT:
                self.send_error(413)
                return
            body = json.dumps(_answer(chain, self.rfile.read(length))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Logs nothing: a chain gets hundreds of requests a second."""

    server = ThreadingHTTPServer((host, port), RpcHandler)
    server.daemon_threads = True
    return server


def mine_in_background(chain: EmbeddedChain, block_time_s: float) -> threading.Event:
    """Mines from a separate thread; set the event to stop."""
    stop = threading.Event()
    threading.Thread(target=chain.run, args=(stop, block_time_s), daemon=True, name="miner").start()
    return stop


def _answer(chain: EmbeddedChain, body: bytes) -> Any:
    try:
        request = json.loads(body)
    except ValueError as error:
        return _error(None, RpcError(_PARSE_ERROR, f"not JSON: {error}"))
    if isinstance(request, list):
        return [_one(chain, item) for item in request]
    return _one(chain, request)


def _one(chain: EmbeddedChain, request: Any) -> dict[str, Any]:
    if not isinstance(request, dict) or not isinstance(request.get("method"), str):
        return _error(None, RpcError(_INVALID_REQUEST, "a request is an object with a method"))
    try:
        result = chain.request(request["method"], list(request.get("params") or []))
    except RpcError as error:
        return _error(request.get("id"), error)
    return {"jsonrpc": "2.0", "id": request.get("id"), "result": result}


def _error(request_id: Any, error: RpcError) -> dict[str, Any]:
    detail: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        detail["data"] = error.data
    return {"jsonrpc": "2.0", "id": request_id, "error": detail}
