"""Verdicts that are not asked for, not opened rightly, or said twice. Each: a clear problem, nothing changed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from contracts.protocol.records import Verdict
from tests.bad_input.place import NEVER, STRANGER, Place, table_rows
from tests.integration.backend.worker.bench import KEYS

pytestmark = pytest.mark.chain
PATH = "/v1/verifier/verdicts"
OTHER = "0x" + "ab" * 32


@dataclass(frozen=True)
class Rows:
    """Two jobs of one revealed epoch: one that the sample picked, one that it left out."""

    epoch_id: int
    sampled: str
    spared: str


@pytest.fixture(scope="module")
def rows(place: Place) -> Rows:
    sampled, spared = place.delivered(), place.delivered(workload_id=NEVER.workload_id())
    return Rows(place.revealed(sampled), sampled, spared)


def refuses(place: Place, body: Any, status: int, code: str, *named: object, way_out: str) -> None:
    """The verdict is refused, and nothing changes."""
    place.refuses("POST", PATH, status, code, *named, way_out=way_out, json=body)


def test_by_a_stranger(place: Place, rows: Rows) -> None:
    """Protects the fees: only admitted, staked verifiers are heard, each with its own signature."""
    body = place.verdict(rows.sampled, STRANGER, epoch_id=rows.epoch_id)
    refuses(place, body, 401, "inactive_verifier", STRANGER.address, way_out="have the minimum stake")
    node = place.verdict(rows.sampled, KEYS["node"], epoch_id=rows.epoch_id)
    refuses(place, node, 401, "inactive_verifier", KEYS["node"].address, way_out="have the minimum stake")
    forged = place.verdict(rows.sampled, epoch_id=rows.epoch_id) | {"signature": body["signature"]}
    refuses(place, forged, 401, "wrong_signer", KEYS["judge-1"].address, way_out="sign the EIP-712 digest")


def test_for_an_unsampled_job(place: Place, rows: Rows) -> None:
    """Protects the treasury and the log: what the seed did not pick is not checked for pay."""
    body = place.verdict(rows.spared, epoch_id=rows.epoch_id)
    refuses(
        place, body, 409, "not_sampled", rows.spared, f"epoch {rows.epoch_id}", way_out="check the rows that it picks"
    )


def test_for_rows_that_are_not_there(place: Place, rows: Rows) -> None:
    """Protects the log: a verdict is on a job under a posted root, or on nothing."""
    for body in (place.verdict(OTHER, epoch_id=1), place.verdict(rows.sampled, epoch_id=rows.epoch_id + 1)):
        digest = body["verdict"]["commitment_digest"]
        refuses(place, body, 404, "unknown_row", digest, way_out="has its rows")
    far = place.verdict(rows.sampled, epoch_id=2**63 - 1)
    refuses(place, far, 404, "unknown_row", 2**63 - 1, way_out="has its rows")
    for epoch_id in (0, -1, 2**63, 2**64 - 1, 2**256):
        body = place.verdict(rows.sampled, epoch_id=epoch_id)
        refuses(place, body, 422, "invalid_field", f"body.epoch_id = {epoch_id}"[:60], way_out="/openapi.json")


def test_openings_that_do_not_fit(place: Place, rows: Rows) -> None:
    """Protects the verifier: an answer that differs is for the court, and is not shown here. Covers: A13"""
    good = place.verdict(rows.sampled, epoch_id=rows.epoch_id)
    for changes in ({"trace_hash": OTHER}, {"output_root": OTHER}, {"units": 7}):
        differing = place.verdict(rows.sampled, epoch_id=rows.epoch_id, **changes)
        refuses(place, differing, 422, "opening_disagrees", rows.sampled, way_out="SlashingCourt.openCase")
        swapped = good | {"opening": differing["opening"]}
        refuses(place, swapped, 422, "opening_mismatch", good["verdict"]["answer_commit"], way_out="the opening hashes")


def test_copied_from_a_neighbour(place: Place, rows: Rows) -> None:
    """Protects blindness: a neighbour's answer counts for nobody else. Covers: A13"""
    first = place.verdict(rows.sampled, epoch_id=rows.epoch_id)
    judge = KEYS["judge-2"]
    copied = first["verdict"] | {"verifier": judge.address}
    body = first | {"verdict": copied, "signature": judge.sign(_digest(place, copied))}
    refuses(place, body, 422, "opening_mismatch", copied["answer_commit"], way_out="not to verdict.answer_commit")


def test_twice_and_at_once(place: Place, rows: Rows) -> None:
    """Protects the treasury: one check is one row, however often it is sent. Covers: A45, A59"""
    body = place.verdict(rows.sampled, epoch_id=rows.epoch_id)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: place.http.post(place.url + PATH, json=body), range(100)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["new"] for answer in answers) == [False] * 99 + [True]
    digest = answers[0].json()["digest"]
    assert len([row for row in table_rows(place.bench.home)["verdict"] if row[0] == digest]) == 1
    other = place.verdict(rows.sampled, epoch_id=rows.epoch_id, units=7) | {"opening": None}
    refuses(place, other, 409, "contradicting_verdict", digest, way_out="is refused")


def _digest(place: Place, verdict: dict[str, str]) -> bytes:
    return place.domain.verdict_digest(Verdict(**verdict))
