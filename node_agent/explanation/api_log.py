"""The published log as a backend's API serves it, with the API's limits and retries."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from contracts.protocol.errors import ProtocolError
from contracts.record.errors import LogUnavailable, WrongLog
from contracts.record.history import PostedEpoch
from contracts.record.log_book import LogBook, read_epoch
from contracts.record.log_source import published_lines
from node_agent.errors import CallFailed
from node_agent.session.backend_api import BackendApi

_T = TypeVar("_T")
_MOST_SEEN_BYTES = 1 << 20
"""An observation has a few more bytes per token than a trace (contracts.protocol.trace.MAX_TRACE_BYTES)."""


@dataclass(frozen=True)
class ApiLog:
    """`LogSource` over a backend. `api` None: nothing can be read."""

    api: BackendApi | None

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        return self._read(f"epoch {epoch_id}", lambda api: api.log_lines(epoch_id))

    def blob(self, blob_hash: str) -> bytes:
        return self._read(blob_hash, lambda api: api.blob(blob_hash, _MOST_SEEN_BYTES))

    def _read(self, what: str, call: Callable[[BackendApi], _T]) -> _T:
        if self.api is None:
            raise LogUnavailable(what=what, source="the backend", why="no backend is known")
        try:
            return call(self.api)
        except CallFailed as error:
            raise LogUnavailable(what=what, source="the backend", why=str(error)) from error


@dataclass
class Unread:
    """Why epochs were not read: `missing` is not available now, `lies` contradicts the chain."""

    missing: dict[int, str]
    lies: list[str]


def read_all(book: LogBook, log: ApiLog, epochs: Mapping[int, PostedEpoch]) -> Unread:
    unread = Unread({}, [])
    for epoch_id, posted in sorted(epochs.items()):
        try:
            read_epoch(book, posted, published_lines(log, posted))
        except LogUnavailable as error:
            unread.missing[epoch_id] = str(error)
        except WrongLog as error:
            unread.lies.append(f"the published log of epoch {epoch_id} was changed after it was posted: {error}")
        except ProtocolError as error:
            unread.lies.append(f"the published log of epoch {epoch_id} holds what is no record: {error}")
    return unread
