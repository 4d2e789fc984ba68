"""One JSON-RPC endpoint over HTTP. Every failure is a ChainError of a kind of its own (errors.py).

Uses httpx: importing web3 would cost every command that reads a chain a second.
"""

import itertools
import json
import ssl
import time
import weakref
from typing import Any
from urllib.parse import urlsplit

import httpx

from contracts.onchain.errors import BadRpcUrl, ChainError, ChainUnavailable, EndpointLimited, WrongReply, shown_url
from contracts.onchain.eth import Eth
from contracts.onchain.reverts import refusal

_TOO_MANY_REQUESTS = 429
_PAUSES_S = (0.1, 0.3, 0.9)
"""Before each retry after a lost connection or too many requests, if the endpoint has answered before."""
_NOT_REPEATED = "eth_sendRawTransaction"


class Rpc:
    """An endpoint, which threads may share. Raises BadRpcUrl.

    `url` may hold a key; `endpoint` is its name in messages. `eth` has the methods. `transport` replaces HTTP in tests.
    """

    def __init__(self, url: str, *, timeout_s: float = 30.0, transport: httpx.BaseTransport | None = None) -> None:
        if not _is_usable(url):
            raise BadRpcUrl(url)
        self.url, self.endpoint, self.eth = url, shown_url(url), Eth(self)
        # reading the certificate authorities takes 20 ms
        verify: ssl.SSLContext | bool = ssl.create_default_context() if url.startswith("https") else False
        headers = {"Content-Type": "application/json"}
        self._client = httpx.Client(timeout=timeout_s, verify=verify, headers=headers, transport=transport)
        self._numbers = itertools.count(1)
        self._answered = False
        weakref.finalize(self, self._client.close)

    def request(self, method: str, *params: Any) -> Any:
        """The raw result of one call. `params` in JSON-RPC's encoding.

        Retries reads for about a second if the endpoint has answered before. Raises ChainUnavailable (EndpointLimited,
        WrongReply), RequestRefused, Reverted.
        """
        for pause_s in _PAUSES_S:
            try:
                return self._once(method, params)
            except ChainUnavailable as error:
                if not self._may_ask_again(method, error):
                    raise
            time.sleep(pause_s)
        return self._once(method, params)

    def _may_ask_again(self, method: str, error: ChainUnavailable) -> bool:
        if not method.startswith("eth_") or method == _NOT_REPEATED or isinstance(error, WrongReply):
            return False
        return self._answered or isinstance(error, EndpointLimited)

    def _once(self, method: str, params: tuple[Any, ...]) -> Any:
        number = next(self._numbers)
        body = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()
        try:
            response = self._client.post(self.url, content=body)
        except httpx.HTTPError as error:
            raise ChainUnavailable(self.endpoint, _why(error)) from error
        reply = _reply(response)
        if reply is None or (reply.get("id") != number and "error" not in reply):
            raise self._unusable(response)
        self._answered = True
        if reply.get("error") is not None:
            raise self._failure(method, reply["error"])
        if "result" not in reply:
            raise self._unusable(response)
        return reply["result"]

    def _failure(self, method: str, error: Any) -> ChainError:
        return refusal(self.endpoint, method, error if isinstance(error, dict) else {"message": str(error)})

    def _unusable(self, response: httpx.Response) -> ChainError:
        if response.status_code == _TOO_MANY_REQUESTS:
            return EndpointLimited(self.endpoint, "it takes no more requests for now (status 429)")
        if not response.is_success:
            return ChainUnavailable(self.endpoint, f"it answers with status {response.status_code}")
        return WrongReply(self.endpoint, "it answers, but not as a chain does")


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _reply(response: httpx.Response) -> dict[str, Any] | None:
    """The reply's JSON object. With an error status it must hold an error: many endpoints refuse with 4xx and JSON."""
    try:
        found = response.json()
    except ValueError:
        return None
    if not isinstance(found, dict) or not (response.is_success or isinstance(found.get("error"), dict)):
        return None
    return None if response.status_code == _TOO_MANY_REQUESTS else found


def _why(error: httpx.HTTPError) -> str:
    """The cause, without the URL, which may hold a key."""
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    words = getattr(cause, "strerror", None) or type(cause).__name__
    return f"{type(error).__name__}: {words}"
