"""Places at which a process dies by its own SIGKILL: between a thing that is durable and the next that should follow.

A death planned by time alone hits such a gap rarely. `ASSAY_DOOM=<point>:<n>` in a child's environment makes it die at
the n-th passage of a point. Only test processes load this; the product knows nothing of it.
"""

import functools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlmodel import Session

from backend.chain.tx_manager import TxManager
from backend.chain.tx_port import RpcPort
from backend.services import publishing
from backend.store.blobs import BlobStore
from backend.store.database import Database
from contracts.onchain.sender import Sender
from node_agent.session.backend_api import BackendApi
from node_agent.session.journal import NodeJournal
from verifier.verdicts.journal import VerifierJournal
from verifier.verdicts.publisher import Publisher

_METHODS: dict[str, tuple[Any, str, str]] = {
    "answer-journaled": (NodeJournal, "record", "after"),
    "answer-unsigned": (NodeJournal, "sign", "before"),
    "answer-signed": (NodeJournal, "sign", "after"),
    "output-sent": (BackendApi, "put_blob", "after"),
    "commitment-sent": (BackendApi, "submit", "after"),
    "acknowledged": (NodeJournal, "acknowledge", "before"),
    "blob-kept": (BlobStore, "put", "after"),
    "call-intended": (TxManager, "ensure", "after"),
    "transaction-persisted": (RpcPort, "send", "before"),
    "transaction-sent": (RpcPort, "send", "after"),
    "log-file-written": (publishing, "_publish", "after"),
    "verdict-computed": (VerifierJournal, "record", "after"),
    "verdict-signed": (VerifierJournal, "record_verdict", "after"),
    "verdict-sent": (Publisher, "send", "after"),
    "court-call-sent": (Sender, "_broadcast", "after"),
}
POINTS = {
    "node": ("answer-journaled", "answer-unsigned", "answer-signed", "output-sent", "commitment-sent", "acknowledged"),
    "api": ("blob-kept", "before-commit", "after-commit"),
    "worker": (
        "call-intended", "transaction-persisted", "transaction-sent", "log-file-written", "before-commit",
        "after-commit",
    ),
    "verifier": ("verdict-computed", "verdict-signed", "verdict-sent", "court-call-sent"),
}  # fmt: skip
"""By kind of process."""


def arm() -> None:
    """Plans this process's death, if its environment says so."""
    point, _, passages = os.environ.get("ASSAY_DOOM", "").partition(":")
    if not point:
        return
    fuse = _Fuse(point, int(passages))
    if point in ("before-commit", "after-commit"):
        Database.begin = _doomed_begin(Database.begin, point, fuse)  # type: ignore[method-assign]  # that is the point
        return
    owner, name, when = _METHODS[point]
    setattr(owner, name, _doomed(getattr(owner, name), when, fuse))


class _Fuse:
    def __init__(self, point: str, passages: int) -> None:
        self._point, self._left = point, passages

    def burn(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.write(2, f"doom: dies at {self._point}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)


def _doomed(method: Callable[..., Any], when: str, fuse: _Fuse) -> Callable[..., Any]:
    @functools.wraps(method)
    def wrapped(*args: Any, **named: Any) -> Any:
        if when == "before":
            fuse.burn()
        result = method(*args, **named)
        if when == "after":
            fuse.burn()
        return result

    return wrapped


def _doomed_begin(begin: Callable[..., Any], point: str, fuse: _Fuse) -> Callable[..., Any]:
    @contextmanager
    def wrapped(database: Database) -> Iterator[Session]:
        with begin(database) as session:
            yield session
            if point == "before-commit":
                session.flush()
                fuse.burn()
        if point == "after-commit":
            fuse.burn()

    return wrapped
