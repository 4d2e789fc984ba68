"""The published log as a backend's API serves it, for `contracts.record`, with the API's limits and retries."""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.protocol.errors import ProtocolError
from contracts.record.errors import LogUnavailable, WrongLog
from contracts.record.history import PostedEpoch
from contracts.record.log_book import LogBook, read_epoch
from contracts.record.log_source import published_lines
from node_agent.errors import CallFailed
from node_agent.session.backend_api import BackendApi

_MOST_SEEN_BYTES = 1 << 20
"""An observation has some more bytes a token than a trace (contracts.protocol.trace.MAX_TRACE_BYTES)."""


@dataclass(frozen=True)
class ApiLog:
    """`LogSource` over a backend. `api` None: nothing can be read."""

    api: BackendApi | None

    def epoch_lines(self, epoch_id: int) -> list[bytes]:
        """See LogSource."""
        if self.api is None:
            raise _unavailable(f"epoch {epoch_id}", "no backend is known")
        try:
            return self.api.log_lines(epoch_id)
        except CallFailed as error:
            raise _unavailable(f"epoch {epoch_id}", str(error)) from error

    def blob(self, blob_hash: str) -> bytes:
        """See LogSource."""
        if self.api is None:
            raise _unavailable(blob_hash, "no backend is known")
        try:
            return self.api.blob(blob_hash, _MOST_SEEN_BYTES)
        except CallFailed as error:
            raise _unavailable(blob_hash, str(error)) from error


def _unavailable(what: str, why: str) -> LogUnavailable:
    return LogUnavailable(what=what, source="the backend", why=why)


@dataclass
class Unread:
    """Why epochs were not read: `missing` cannot be had now, `lies` is not what the chain committed to."""

    missing: dict[int, str]
    lies: list[str]


def read_all(book: LogBook, log: ApiLog, epochs: Mapping[int, PostedEpoch]) -> Unread:
    """Reads every posted epoch that can be had."""
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
