"""Records that do not hold are refused before anybody works on them or pays for them."""

from dataclasses import replace
from typing import Any

import pytest

from contracts.protocol.log import LeaseEntry
from contracts.protocol.records import Lease
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import agrees, differences
from contracts.record.errors import WrongFact
from contracts.record.log_book import PaidJob as Job
from contracts.record.row_checks import check_job, check_leases, check_prompts
from tests.unit.record.records import DOMAIN, NODE, OPERATOR, REQUESTER, job, opening, prompts

KEYS = {NODE.address: OPERATOR}
SETTLER, OTHER = Signer(b"\1" * 32), Signer(b"\2" * 32)


def bent(**changes: Any) -> Job:
    """A job with changed parts: row_*, order_*, commitment_* fields of their entries."""
    whole = job()
    for part in ("row", "order", "commitment"):
        update = {k.removeprefix(f"{part}_"): v for k, v in changes.items() if k.startswith(f"{part}_")}
        whole = replace(whole, **{part: getattr(whole, part).model_copy(update=update)})
    return whole


def test_a_job_whose_records_hold_passes() -> None:
    """The checks refuse nothing that is right."""
    check_job(DOMAIN, job(), KEYS)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"row_amount_units": 10}, "the amount is the order's price of the units"),
        ({"row_requester": "0x" + "01" * 20}, "the order's requester is the row's"),
        ({"row_signer": "0x" + "01" * 20}, "the order's signer is the row's"),
        ({"row_operator_id": 4}, "belongs to the row's operator"),
        ({"row_digest": "0x" + "01" * 32}, "the commitment is the row's"),
        ({"order_signature": REQUESTER.sign(b"\1" * 32)}, "the order is signed by its lane"),
        ({"order_signature": "0x" + "00" * 65}, "the order is signed by its lane"),
        ({"commitment_signature": OTHER.sign(b"\1" * 32)}, "the commitment is signed by its node"),
    ],
)
def test_each_record_that_does_not_hold_is_named(changes: dict[str, Any], rule: str) -> None:
    """Whoever alters a record cannot make a verifier accuse with it. Covers: A12"""
    with pytest.raises(WrongFact, match=rule):
        check_job(DOMAIN, bent(**changes), KEYS)


def test_another_order_than_the_committed_one_is_named() -> None:
    """A commitment answers one order."""
    with pytest.raises(WrongFact, match="the commitment answers the order"):
        check_job(DOMAIN, replace(job(0), order=job(1).order), KEYS)


def test_other_prompts_than_the_ordered_are_named() -> None:
    """A backend that feeds verifiers altered prompts frames nobody."""
    check_prompts(job(), prompts(0))
    for altered in (prompts(1), b"no packed words"):
        with pytest.raises(WrongFact, match="promptRoot"):
            check_prompts(job(), altered)


def lease(node: Signer, expires: int, settler: Signer = SETTLER) -> LeaseEntry:
    record = Lease(order_id="0x" + "07" * 32, node=node.address, expires=expires)
    return LeaseEntry(lease=record, signature=settler.sign(DOMAIN.lease_digest(record)))


@pytest.mark.parametrize(
    ("leases", "rule"),
    [
        ([], "the node held a lease"),
        ([lease(OTHER, 10)], "the node held a lease"),
        ([lease(NODE, 10, OTHER)], "the lease is signed by the settler"),
        ([lease(NODE, 10), lease(OTHER, 20)], "the job's last lease is its node's"),
        ([lease(NODE, 10), lease(OTHER, 10)], "no two nodes' leases of a job end together"),
    ],
)
def test_a_job_lent_to_two_nodes_or_to_nobody_is_named(leases: list[LeaseEntry], rule: str) -> None:
    """Leases of one job never overlap, and only whoever held it is paid."""
    with pytest.raises(WrongFact, match=rule):
        check_leases(DOMAIN, leases, NODE.address, {SETTLER.address}, copies=1)


def test_a_job_lent_again_after_its_lease_ended_passes() -> None:
    """A node that never committed loses the job to the next one."""
    leases = [lease(OTHER, 10), lease(NODE, 20), lease(NODE, 30)]
    check_leases(DOMAIN, leases, NODE.address, {SETTLER.address}, copies=1)


def test_differences_name_trace_output_and_units() -> None:
    """The comparison is equality of three facts. Covers: A55"""
    commitment = job(0).commitment.commitment
    assert differences(opening(0), commitment) == []
    assert differences(opening(1), commitment) == ["trace", "output"]
    assert differences(opening(0).model_copy(update={"units": 3}), commitment) == ["units"]
    assert agrees(opening(0), commitment)
