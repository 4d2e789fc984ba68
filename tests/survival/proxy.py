"""A TCP proxy in front of a JSON-RPC endpoint that can be taken away, or lose replies after the node has them."""

import socket
import threading
from contextlib import suppress

_CHUNK = 65_536
_SEND = b"eth_sendRawTransaction"


class Proxy:
    """Forwards 127.0.0.1:`port` to another port of this host.

    `lose_replies`: so many further replies to eth_sendRawTransaction never reach whoever sent it; `lost` counts them.
    """

    def __init__(self, target_port: int) -> None:
        self._target, self.port = target_port, 0
        self.lose_replies = self.lost = 0
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listens (again) on its port."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self.port, self._listener = listener.getsockname()[1], listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuses connections and cuts those that are open: the endpoint is gone."""
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            open_, self._open = self._open, set()
        for each in open_:
            _end(each)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return  # stopped
            server = socket.create_connection(("127.0.0.1", self._target))
            with self._lock:
                self._open |= {client, server}
            pair = _Pair(self, client, server)
            threading.Thread(target=pair.requests, daemon=True).start()
            threading.Thread(target=pair.replies, daemon=True).start()

    def takes_reply(self) -> bool:
        """Whether a reply gets lost now."""
        with self._lock:
            if not self.lose_replies:
                return False
            self.lose_replies -= 1
            self.lost += 1
            return True


class _Pair:
    """One connection and its twin at the node."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._sends = False

    def requests(self) -> None:
        seen = b""
        while data := _read(self._client):
            seen = (seen + data)[-_CHUNK:]
            if _SEND in seen:
                self._sends, seen = True, b""
            if not _write(self._server, data):
                break
        _end(self._server)

    def replies(self) -> None:
        while data := _read(self._server):
            sends, self._sends = self._sends, False
            if (sends and self._proxy.takes_reply()) or not _write(self._client, data):
                break
        _end(self._client)
        _end(self._server)


def _read(one: socket.socket) -> bytes:
    try:
        return one.recv(_CHUNK)
    except OSError:
        return b""


def _write(one: socket.socket, data: bytes) -> bool:
    try:
        one.sendall(data)
    except OSError:
        return False
    return True


def _end(one: socket.socket) -> None:
    with suppress(OSError):  # the other side was first
        one.shutdown(socket.SHUT_RDWR)
    one.close()
