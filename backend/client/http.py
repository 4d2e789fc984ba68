"""The backend's HTTP API, typed. Answers are strict records; problems are raised as errors."""

from typing import TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from backend.client.errors import BackendUnavailable, Refused
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.spelling import MAX_TOKENIZER_BYTES
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
        return self._record(NetworkInfo, "/v1/network")

    def manifest(self, workload_id: str) -> bytes:
        return self._send("GET", f"/v1/workloads/{workload_id}")

    def tokenizer(self, workload_id: str) -> bytes:
        return self._send("GET", f"/v1/workloads/{workload_id}/tokenizer")

    def put_blob(self, name: str, data: bytes) -> None:
        self._send("PUT", f"/v1/blobs/{name}", data, "application/octet-stream")

    def blob(self, name: str) -> bytes:
        return self._send("GET", f"/v1/blobs/{name}")

    def lane(self, requester: str, signer: str) -> LaneView:
        return self._record(LaneView, f"/v1/lanes/{requester}/{signer}")

    def submit(self, order: SubmitOrder) -> OrderView:
        return self._record(OrderView, "/v1/orders", order)

    def tokenize(self, asked: Tokenize) -> Tokenized:
        return self._record(Tokenized, "/v1/tokenize", asked)

    def order(self, order_id: str) -> OrderView:
        return self._record(OrderView, f"/v1/orders/{order_id}")

    def receipt(self, order_id: str) -> PaymentReceipt:
        return self._record(PaymentReceipt, f"/v1/orders/{order_id}/receipt")

    def orders(self, requester: str, signer: str | None = None) -> list[OrderView]:
        of_lane = "" if signer is None else f"&signer={signer}"
        return self._record(list[OrderView], f"/v1/orders?requester={requester}{of_lane}")

    def close(self) -> None:
        self._http.close()

    def _send(self, method: str, path: str, content: bytes | None = None, kind: str = "application/json") -> bytes:
        """What is answered. Raises BackendUnavailable, Refused."""
        url, headers = self._url + path, None if content is None else {"content-type": kind}
        for left in reversed(range(_SENDS)):
            try:
                with self._http.stream(method, url, content=content, headers=headers) as response:
                    body = _read(response)
                break
            except httpx.TransportError as error:
                if left == 0:
                    raise BackendUnavailable(url=url, why=str(error) or type(error).__name__) from error
        if response.is_success:
            return body
        try:
            problem = Problem.model_validate_json(body)
        except ValidationError as error:
            raise BackendUnavailable(url=url, why=f"status {response.status_code} without a problem") from error
        raise Refused(status=problem.status, code=problem.code, detail=problem.detail)

    def _record(self, kind: type[_T], path: str, said: BaseModel | None = None) -> _T:
        content = None if said is None else said.model_dump_json().encode()
        body = self._send("GET" if said is None else "POST", path, content)
        try:
            return TypeAdapter(kind).validate_json(body)
        except ValidationError as error:
            raise BackendUnavailable(url=self._url + path, why=str(error)) from error


def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > MAX_TOKENIZER_BYTES:
            raise BackendUnavailable(url=str(response.url), why=f"it says more than {MAX_TOKENIZER_BYTES} bytes")
    return bytes(body)
