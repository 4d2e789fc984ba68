"""The backend's HTTP API, typed. Answers are strict records; problems are raised as errors."""

from typing import TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from backend.client.errors import BackendUnavailable, Refused
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.wire import LaneView, NetworkInfo, OrderView, Problem, SubmitOrder, Tokenize, Tokenized

_T = TypeVar("_T")
_SENDS = 3
"""Tries of a request without an answer. Every request is idempotent."""


class BackendHttp:
    """A client of one backend. `http` replaces the default connection, e.g. with another transport."""

    def __init__(self, url: str, http: httpx.Client | None = None) -> None:
        self._url = url.rstrip("/")
        self._http = http or httpx.Client(timeout=30.0)

    def network(self) -> NetworkInfo:
        return self._record(NetworkInfo, self._send("GET", "/v1/network"))

    def manifest(self, workload_id: str) -> bytes:
        return self._send("GET", f"/v1/workloads/{workload_id}").content

    def tokenizer(self, workload_id: str) -> bytes:
        return self._send("GET", f"/v1/workloads/{workload_id}/tokenizer").content

    def put_blob(self, name: str, data: bytes) -> None:
        self._send("PUT", f"/v1/blobs/{name}", content=data, headers={"content-type": "application/octet-stream"})

    def blob(self, name: str) -> bytes:
        return self._send("GET", f"/v1/blobs/{name}").content

    def lane(self, requester: str, signer: str) -> LaneView:
        return self._record(LaneView, self._send("GET", f"/v1/lanes/{requester}/{signer}"))

    def submit(self, order: SubmitOrder) -> OrderView:
        content = order.model_dump_json().encode()
        return self._record(
            OrderView, self._send("POST", "/v1/orders", content=content, headers={"content-type": "application/json"})
        )

    def tokenize(self, asked: Tokenize) -> Tokenized:
        content = asked.model_dump_json().encode()
        return self._record(
            Tokenized, self._send("POST", "/v1/tokenize", content=content, headers={"content-type": "application/json"})
        )

    def order(self, order_id: str) -> OrderView:
        return self._record(OrderView, self._send("GET", f"/v1/orders/{order_id}"))

    def receipt(self, order_id: str) -> PaymentReceipt:
        return self._record(PaymentReceipt, self._send("GET", f"/v1/orders/{order_id}/receipt"))

    def orders(self, requester: str, signer: str | None = None) -> list[OrderView]:
        of_lane = "" if signer is None else f"&signer={signer}"
        return self._record(list[OrderView], self._send("GET", f"/v1/orders?requester={requester}{of_lane}"))

    def close(self) -> None:
        self._http.close()

    def _send(
        self, method: str, path: str, *, content: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        url = self._url + path
        for left in reversed(range(_SENDS)):
            try:
                response = self._http.request(method, url, content=content, headers=headers)
                break
            except httpx.TransportError as error:
                if left == 0:
                    raise BackendUnavailable(url=url, why=str(error) or type(error).__name__) from error
        if response.is_success:
            return response
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError as error:
            raise BackendUnavailable(url=url, why=f"status {response.status_code} without a problem") from error
        raise Refused(status=problem.status, code=problem.code, detail=problem.detail)

    def _record(self, kind: type[_T], response: httpx.Response) -> _T:
        try:
            return TypeAdapter(kind).validate_json(response.content)
        except ValidationError as error:
            raise BackendUnavailable(url=str(response.url), why=str(error)) from error
