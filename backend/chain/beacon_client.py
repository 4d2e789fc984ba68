"""Asks the beacon for the value that posting an epoch reveals. A port and its adapter over HTTP."""

from typing import Protocol

import httpx

from backend.chain.errors import BeaconNotReady, BeaconUnavailable
from contracts.protocol.hashing import from_hex

_NOT_READY = (409, 425)


class Beacon(Protocol):
    """Reveals the hash chain's values, one per epoch."""

    def value(self, epoch_id: int) -> bytes:
        """An epoch's value, 32 bytes. Raises BeaconNotReady while the last post is not deep enough, BeaconUnavailable
        without a usable answer.
        """


class HttpBeacon:
    """A beacon process under a base URL: GET /v1/beacon/{epoch_id} -> {"value": "0x.."}."""

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._url = url.rstrip("/")
        self._client = httpx.Client(timeout=timeout_s)

    def value(self, epoch_id: int) -> bytes:
        url = f"{self._url}/v1/beacon/{epoch_id}"
        try:
            answer = self._client.get(url)
            if answer.status_code in _NOT_READY:
                raise BeaconNotReady(epoch_id=epoch_id, why=answer.text[:300])
            answer.raise_for_status()
            value = from_hex(answer.json()["value"])
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BeaconUnavailable(url=url, why=str(error)) from error
        if len(value) != 32:
            raise BeaconUnavailable(url=url, why=f"the value has {len(value)} bytes, not 32")
        return value
