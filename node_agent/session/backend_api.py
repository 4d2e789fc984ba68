"""The operator's calls of a backend's HTTP interface (contracts.protocol.wire), typed.

Checks shapes, sizes and hashes; the caller checks whether a lease or receipt is *true*. Transport errors and 5xx are
retried with growing, jittered pauses ("full jitter", AWS Architecture Blog 2015); refusals are not. Redirects are not
followed.
"""

import logging
import random
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from pydantic import ValidationError

from contracts.protocol import wire
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import is_named
from contracts.protocol.records import Record
from contracts.record.log_source import split_lines
from node_agent.errors import BackendRefused, BadAnswer, NoAnswer

log = logging.getLogger(__name__)

MAX_JSON_BYTES = 1 << 20
MAX_LIST_BYTES = 1 << 26
_TIMEOUT_S, _FIRST_PAUSE_S, LONGEST_PAUSE_S = 20.0, 0.5, 8.0
_UNUSED = "Nothing of it was used; tell the backend's operator."
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "assay-node"}

_R = TypeVar("_R", bound=Record)


class _Nodes(Record):
    nodes: list[wire.NodeView]


class BackendApi:
    """A backend at a base URL. May be called from several threads. Calls raise NoAnswer, BackendRefused or BadAnswer.

    `attempts`: how often an idempotent call is tried in all. `pause`: waits that many seconds; pass an event's `wait`
    so that a shutdown is not delayed. `transport`: replaces the network, in tests.
    """

    def __init__(
        self,
        base_url: str,
        *,
        attempts: int = 4,
        pause: Callable[[float], object] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._attempts, self._pause = attempts, pause
        self._http = httpx.Client(base_url=self.base_url, timeout=_TIMEOUT_S, headers=_HEADERS, transport=transport)

    def close(self) -> None:
        self._http.close()

    def network(self) -> wire.NetworkInfo:
        return _parse(wire.NetworkInfo, self._get("/v1/network"), "network")

    def manifest(self, workload_id: str) -> Manifest:
        """The manifest behind a workload id."""
        body = self._get(f"/v1/workloads/{workload_id}")
        manifest = _parse(Manifest, body, "manifest")
        if manifest.workload_id() != workload_id:
            says = f"The manifest requested for {workload_id} is of the workload {manifest.workload_id()}."
            raise BadAnswer(says, way_out=_UNUSED, expected=workload_id, found=manifest.workload_id())
        return manifest

    def blob(self, name: str, max_bytes: int) -> bytes:
        """The bytes of this name (`contracts.protocol.packed.is_named`); at most `max_bytes` are read."""
        body = self._get(f"/v1/blobs/{name}", max_bytes)
        if not is_named(body, name):
            found = to_hex(keccak(body))
            says = f"The blob requested as {name} is another one: its hash is {found}."
            raise BadAnswer(says, way_out=_UNUSED, expected=name, found=found)
        return body

    def put_blob(self, name: str, data: bytes) -> None:
        self._call("PUT", f"/v1/blobs/{name}", data, attempts=self._attempts)

    def lease(self, request: wire.LeaseRequest) -> wire.LeaseGrant | None:
        """A job, or None when there is none. One attempt: the caller polls anyway."""
        body = self._post("/v1/operator/leases", request, attempts=1)
        return _parse(wire.LeaseGrant, body, "lease") if body else None

    def heartbeat(self, heartbeat: wire.Heartbeat) -> wire.LeaseGrant:
        """Extends a lease. One attempt: the next heartbeat follows anyway."""
        return _parse(wire.LeaseGrant, self._post("/v1/operator/heartbeats", heartbeat, attempts=1), "heartbeat")

    def give_back(self, returned: wire.ReturnLease) -> wire.Acknowledgement:
        """Ends a lease. One attempt: it ends by itself anyway."""
        return _parse(wire.Acknowledgement, self._post("/v1/operator/returns", returned, attempts=1), "acknowledgement")

    def submit(self, commitment: wire.SubmitCommitment) -> wire.Acknowledgement:
        """Submits a commitment; idempotent."""
        body = self._post("/v1/operator/commitments", commitment, attempts=self._attempts)
        return _parse(wire.Acknowledgement, body, "acknowledgement")

    def show(self, trace: wire.SubmitTrace) -> wire.Acknowledgement:
        """Shows a trace that is among the blobs; idempotent."""
        body = self._post("/v1/operator/traces", trace, attempts=self._attempts)
        return _parse(wire.Acknowledgement, body, "acknowledgement")

    def order(self, order_id: str) -> wire.OrderView:
        return _parse(wire.OrderView, self._get(f"/v1/orders/{order_id}"), "order")

    def nodes(self) -> list[wire.NodeView]:
        return _parse(_Nodes, b'{"nodes":%s}' % self._get("/v1/nodes", MAX_LIST_BYTES), "list of nodes").nodes

    def canary(self, request: wire.CanaryRequest) -> wire.OrderView:
        """Requests this operator's canary job; idempotent."""
        return _parse(wire.OrderView, self._post("/v1/operator/canary", request, attempts=self._attempts), "canary")

    def log_lines(self, epoch_id: int) -> list[bytes]:
        """The published log of an epoch. The caller checks it against the chain."""
        return split_lines(self._get(f"/v1/log/epochs/{epoch_id}.jsonl", MAX_LIST_BYTES))

    def clock_ahead_s(self) -> float | None:
        """Seconds that the backend's clock (Date header, whole seconds) is ahead of this host's, if it sends one."""
        try:
            answer = self._http.get("/v1/network")
            told = parsedate_to_datetime(answer.headers["date"])
        except httpx.TransportError as error:
            raise _no_answer(f"GET {self.base_url}/v1/network", error) from error
        except (KeyError, ValueError):
            return None
        return told.timestamp() + 0.5 - time.time()

    def _get(self, path: str, max_bytes: int = MAX_JSON_BYTES) -> bytes:
        return self._call("GET", path, None, attempts=self._attempts, max_bytes=max_bytes)

    def _post(self, path: str, record: Record, *, attempts: int) -> bytes:
        return self._call("POST", path, record.model_dump_json().encode(), attempts=attempts)

    def _call(
        self, method: str, path: str, body: bytes | None, *, attempts: int, max_bytes: int = MAX_JSON_BYTES
    ) -> bytes:
        for attempt in range(1, attempts + 1):
            try:
                return self._once(method, path, body, max_bytes)
            except NoAnswer as error:
                if attempt == attempts:
                    raise
                log.info("attempt %d of %d: %s", attempt, attempts, error.message)
                self._pause(random.uniform(0, min(LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)))
        raise ValueError(f"attempts must be positive, not {attempts}")

    def _once(self, method: str, path: str, body: bytes | None, max_bytes: int) -> bytes:
        call = f"{method} {self.base_url}{path}"
        kind = "application/json" if method == "POST" else "application/octet-stream"
        headers = {"Content-Type": kind} if body is not None else {}
        try:
            with self._http.stream(method, path, content=body, headers=headers) as response:
                answer = _read(response, max_bytes if response.is_success else MAX_JSON_BYTES, call)
        except httpx.TransportError as error:
            raise _no_answer(call, error) from error
        if response.is_success:
            return answer
        raise _refusal(response.status_code, answer, call)


def _no_answer(call: str, error: httpx.TransportError) -> NoAnswer:
    says = f"{call} brought no answer: {type(error).__name__} {error}."
    way_out = "Check the backend's URL and that it runs; the agent tries again by itself."
    return NoAnswer(says, way_out=way_out, call=call)


def _read(response: httpx.Response, max_bytes: int, call: str) -> bytes:
    """The raw body. Stops reading at `max_bytes`."""
    parts, size = [], 0
    for part in response.iter_raw():
        size += len(part)
        if size > max_bytes:
            says = f"{call} answered with more than {max_bytes} bytes."
            raise BadAnswer(says, way_out=_UNUSED, call=call, max_bytes=max_bytes)
        parts.append(part)
    return b"".join(parts)


def _refusal(status: int, body: bytes, call: str) -> NoAnswer | BackendRefused | BadAnswer:
    try:
        problem = wire.Problem.model_validate_json(body)
        reason, detail = problem.code, problem.detail
    except ValidationError:  # a proxy in between, or no backend at all
        reason, detail = "no_problem_details", f"The body is {body[:200]!r}; is this the URL of a backend?"
    if status >= 500:
        way_out = "The agent tries again by itself; if this lasts, tell the backend's operator."
        return NoAnswer(f"{call} failed with {status} {reason}: {detail}", way_out=way_out, call=call, status=status)
    if 400 <= status < 500:
        return BackendRefused(status=status, reason=reason, detail=detail, call=call)
    way_out = "Use the backend's own URL; redirects are not followed."
    return BadAnswer(f"{call} answered with status {status}.", way_out=way_out, call=call, status=status)


def _parse(record: type[_R], body: bytes, what: str) -> _R:
    try:
        return record.model_validate_json(body)
    except ValidationError as error:
        where = "; ".join(f"{'.'.join(map(str, e['loc'])) or '$'}: {e['msg']}" for e in error.errors()[:5])
        says = f"The backend's {what} breaks the protocol: {where}."
        way_out = "Nothing of it was used; agent and backend may be of different releases."
        raise BadAnswer(says, way_out=way_out, body=body[:200]) from error
