"""Schemathesis over the description of the API, against a running backend on a real chain and database.

Three ways: requests that the schema allows, requests that it forbids, and requests about things that are there with
real signatures over values at their bounds, so that what lies behind the signature's check is reached too. Every answer
must have a documented status, the declared content type and shape, and never be a 5xx.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.protocol.records import Params
from tests.bad_input.place import ALWAYS, INPUT, NEVER, OUTPUT, OUTPUT_ROOT, STRANGER, Place
from tests.integration.backend.worker.bench import KEYS
from tests.world.soak import short_or_long

pytestmark = pytest.mark.chain
SEED = int(os.environ.get("ASSAY_SEED", "20261121"))
LEAST_CASES = short_or_long(800, 2000)
EXAMPLES = short_or_long({"allowed": 12, "forbidden": 12, "real": 50}, {"allowed": 55, "forbidden": 55, "real": 120})
CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]
NUMBERS = [0, 1, 7, 8, 9, 100, 180, 10**6, 2**32 - 1, 2**40 - 1, 2**48 - 1, 2**48, 2**63 - 1, 2**63, 2**64 - 1]
NOT_HERE = {"POST /v1/operator/canary", "POST /v1/operator/traces"}
"""Operations that nothing here can make succeed: this backend pays for no canaries, and no window for cases ends."""


class Things:
    """What is there: orders in several states, blobs, an epoch."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.open_order = place.lent(expires_in_s=1000)
        self.orders = [place.accepted(), self.open_order, place.lent(expires_in_s=-5)]
        sampled, spared = place.delivered(), place.delivered(workload_id=NEVER.workload_id())
        self.digests = [sampled, spared, "0x" + "ab" * 32]
        self.epoch = place.revealed(sampled)
        mine = place.http.get(f"{place.url}/v1/orders", params={"requester": KEYS["alice"].address}).json()
        self.orders += [view["order_id"] for view in mine if view["receipt"] is not None]
        self.hashes = [place.put(), place.put(OUTPUT), "0x" + "cd" * 32, to_hex(ZERO32)]
        self.workloads = [ALWAYS.workload_id(), NEVER.workload_id(), "0x" + "ef" * 32]
        self.keys = [KEYS["alice"], KEYS["bob"], KEYS["node"], KEYS["judge-1"], STRANGER]

    def path(self, name: str) -> st.SearchStrategy[Any]:
        """Values of a path's parameter that lead somewhere."""
        addresses = st.sampled_from([key.address for key in self.keys])
        epochs = st.sampled_from([self.epoch, self.epoch + 1, 1, 2**63 - 1])
        pools = {
            "order_id": st.sampled_from(self.orders), "name": st.sampled_from(self.hashes), "epoch_id": epochs,
            "workload_id": st.sampled_from(self.workloads), "requester": addresses, "signer": addresses,
        }  # fmt: skip
        return pools[name]

    def bodies(self) -> dict[str, Callable[[st.DataObject], Any]]:
        """A really signed body by path, its values drawn."""
        return {
            "/v1/orders": self._order, "/v1/operator/commitments": self._commitment,
            "/v1/operator/leases": self._lease, "/v1/operator/heartbeats": self._heartbeat,
            "/v1/operator/canary": self._canary, "/v1/verifier/verdicts": self._verdict,
            "/v1/operator/traces": self._trace, "/v1/operator/returns": self._return, "/v1/tokenize": self._tokenize,
        }  # fmt: skip

    def _trace(self, data: st.DataObject) -> Any:
        pick = {"commitment_digest": self.digests, "trace": self.hashes}
        return {name: data.draw(st.sampled_from(values)) for name, values in pick.items()}

    def _tokenize(self, data: st.DataObject) -> Any:
        texts = data.draw(st.lists(st.sampled_from(["Why?", "\u202e\0", " ", "x" * 500]), min_size=1, max_size=4))
        return self._workload(data) | {"texts": texts}

    def _order(self, data: st.DataObject) -> Any:
        pick: dict[str, list[Any]] = {
            "workload_id": self.workloads, "texts_hash": [to_hex(keccak(INPUT)), *self.hashes],
            "prompt_root": self.hashes, "comparator": [1, 2],
            "copies": [1, 2, 255], "visibility": [0, 1], "deadline": [int(time.time()) + 60, 0, 2**40 - 1],
            "fixed_price": NUMBERS, "unit_price": NUMBERS, "max_price": NUMBERS, "salt": NUMBERS, "cap": NUMBERS,
            "params": [Params(), Params(max_new_tokens=2**32 - 1), Params(max_new_tokens=8, seed=2**64 - 1)],
        }  # fmt: skip
        names = data.draw(st.sets(st.sampled_from(sorted(pick)), max_size=3))
        changes = {name: data.draw(st.sampled_from(pick[name])) for name in sorted(names)}
        return self.place.order(data.draw(st.sampled_from(["alice", "bob"])), **changes)

    def _commitment(self, data: st.DataObject) -> Any:
        good = {"order_id": self.open_order, "key": KEYS["node"], "units": 8, "output_root": OUTPUT_ROOT}
        wrong = {
            "order_id": [*self.orders, self.digests[0]], "key": [STRANGER, KEYS["judge-1"]],
            "units": [n for n in NUMBERS if n < 2**32], "output_root": self.hashes,
        }  # fmt: skip
        drawn = _partly(data, good, wrong)
        return self.place.commitment(drawn.pop("order_id"), drawn.pop("key"), **drawn)

    def _lease(self, data: st.DataObject) -> Any:
        return self._request(data, "lease", to_hex(ZERO32)) | self._workload(data)

    def _heartbeat(self, data: st.DataObject) -> Any:
        return self._request(data, "heartbeat", self.open_order)

    def _return(self, data: st.DataObject) -> Any:
        why = {"reason": ["too_slow", "late", ""], "words": ["5 tokens/s", "", "x" * 501, "\u202e\0"]}
        words = {name: data.draw(st.sampled_from(values)) for name, values in why.items()}
        return self._request(data, "return", self.open_order) | words

    def _canary(self, data: st.DataObject) -> Any:
        return self._request(data, "canary", to_hex(ZERO32)) | self._workload(data)

    def _workload(self, data: st.DataObject) -> dict[str, Any]:
        return {"workload_id": data.draw(st.sampled_from(self.workloads))}

    def _request(self, data: st.DataObject, action: str, order_id: str) -> Any:
        good = {"action": action, "order_id": order_id, "key": KEYS["node"], "timestamp": None}
        wrong = {
            "action": ["else"], "order_id": [*self.orders, to_hex(ZERO32)], "key": [STRANGER],
            "timestamp": [0, 2**40 - 1],
        }  # fmt: skip
        return self.place.request(**_partly(data, good, wrong))

    def _verdict(self, data: st.DataObject) -> Any:
        good = {"digest": self.digests[0], "key": KEYS["judge-1"], "epoch_id": self.epoch, "units": 8, "more": {}}
        wrong = {
            "digest": self.digests, "key": [KEYS["judge-2"], STRANGER], "epoch_id": [1, 2**63 - 1],
            "units": [7, 2**32 - 1], "more": [{"opening": None}],
        }  # fmt: skip
        drawn = _partly(data, good, wrong)
        more = drawn.pop("more")
        return self.place.verdict(**drawn) | more


def _partly(data: st.DataObject, good: dict[str, Any], wrong: dict[str, list[Any]]) -> dict[str, Any]:
    """What is right, with at most two values exchanged: often nothing, so that the good case is among the drawn."""
    names = data.draw(st.sets(st.sampled_from(sorted(wrong)), max_size=2))
    return good | {name: data.draw(st.sampled_from(wrong[name])) for name in sorted(names)}


def test_every_operation(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects every caller: no 5xx, documented statuses, declared shapes. Covers: A49, A52, A58"""
    things, counted, seen = Things(place), Counter[str](), Counter[tuple[str, int]]()
    schema = schemathesis.openapi.from_url(f"{place.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    operations.sort(key=lambda operation: "/operator/" not in operation.path)  # before the orders' deadlines pass
    with requests.Session() as session:

        def check(operation: Any, way: str, case: Any) -> None:
            response = case.call_and_validate(session=session, checks=CHECKS)
            counted[way] += 1
            seen[operation.label, response.status_code] += 1

        for operation in operations:
            for way, mode in _ways(operation):
                strategy = operation.as_strategy(generation_mode=mode)
                _run(way, strategy, lambda case, _, o=operation, w=way: check(o, w, case))
            _run("real", st.just(None), lambda _, data, o=operation: check(o, "real", _real(things, o, data)))
    with capsys.disabled():
        lines = [f"schemathesis: {counted.total()} cases {dict(counted)} of {len(operations)} operations, seed {SEED}"]
        lines += [f"  {label} {status}: {count}" for (label, status), count in sorted(seen.items())]
        sys.stdout.write("\n".join(["", *lines, ""]))
    assert counted.total() >= LEAST_CASES
    succeeded = {label for label, status in seen if status < 300}
    assert succeeded == {operation.label for operation in operations} - NOT_HERE


def _ways(operation: Any) -> list[tuple[str, GenerationMode]]:
    """What takes no input can not be given a wrong one."""
    found = [("allowed", GenerationMode.POSITIVE)]
    if operation.path_parameters or operation.query or operation.body:
        found.append(("forbidden", GenerationMode.NEGATIVE))
    return found


def _run(way: str, strategy: st.SearchStrategy[Any], call: Callable[[Any, st.DataObject], None]) -> None:
    """So many cases of one operation, the same ones for the same seed."""

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES[way], database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    @given(strategy, st.data())
    def run(case: Any, data: st.DataObject) -> None:
        call(case, data)

    run()


def _real(things: Things, operation: Any, data: st.DataObject) -> Any:
    """A case about things that are there."""
    path = {p.name: data.draw(things.path(p.name)) for p in operation.path_parameters}
    query = {p.name: data.draw(things.path(p.name)) for p in operation.query}
    bodies = things.bodies()
    if operation.path in bodies and operation.method == "post":
        body, media_type = bodies[operation.path](data), "application/json"
        return operation.Case(path_parameters=path, query=query, body=body, media_type=media_type)
    if operation.method == "put":
        content = data.draw(st.binary(max_size=300))
        path = {"name": data.draw(st.sampled_from([to_hex(keccak(content)), *things.hashes]))}
        return operation.Case(path_parameters=path, body=content, media_type="application/octet-stream")
    return operation.Case(path_parameters=path, query=query)
