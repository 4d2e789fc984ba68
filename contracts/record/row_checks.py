"""Checks a row's records: signatures, ids, hashes, amounts (SPEC section 3). Pure.

Each check raises WrongFact with both values. A verifier runs them before it works on a job, so that nobody can make it
accuse a node of something that the node never signed. The auditor runs them, too.
"""

from contracts.protocol.errors import BadSignature, NotPacked
from contracts.protocol.hashing import to_hex
from contracts.protocol.log import CommitmentEntry, LeaseEntry, OrderEntry, RowEntry
from contracts.protocol.packed import packed_root
from contracts.protocol.pricing import amount_units
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import Domain
from contracts.record.errors import WrongFact
from contracts.record.log_book import PaidJob


def require(rule: str, *, expected: object, found: object) -> None:
    """Raises WrongFact unless both are equal."""
    if expected != found:
        raise WrongFact(rule, expected=expected, found=found)


def require_signer(rule: str, digest: bytes, signature: str, expected: str) -> None:
    """Raises WrongFact unless `expected` signed `digest`."""
    try:
        found = recover(digest, signature)
    except BadSignature as error:
        raise WrongFact(rule, expected=expected, found=str(error)) from error
    require(rule, expected=expected, found=found)


def check_order(domain: Domain, entry: OrderEntry, row: RowEntry) -> None:
    """Raises WrongFact unless the row's lane ordered this."""
    require("the order's requester is the row's", expected=row.requester, found=entry.order.requester)
    require("the order's signer is the row's", expected=row.signer, found=entry.signer)
    require_signer("the order is signed by its lane", domain.order_id(entry.order), entry.signature, entry.signer)


def check_commitment(domain: Domain, entry: CommitmentEntry, row: RowEntry, node_keys: dict[str, int]) -> None:
    """Raises WrongFact unless a key of the row's operator signed this."""
    node = entry.commitment.node
    digest = domain.commitment_digest(entry.commitment)
    require("the commitment is the row's", expected=row.digest, found=to_hex(digest))
    require_signer("the commitment is signed by its node", digest, entry.signature, node)
    require(f"node {node} belongs to the row's operator", expected=row.operator_id, found=node_keys.get(node))


def check_amount(job: PaidJob) -> None:
    """Raises WrongFact unless the row charges min(maxPrice, fixedPrice + units * unitPrice)."""
    expected = amount_units(job.order.order.terms, job.commitment.commitment.units)
    require("the amount is the order's price of the units", expected=expected, found=job.row.amount_units)


def check_job(domain: Domain, job: PaidJob, node_keys: dict[str, int]) -> None:
    """Runs all checks above."""
    check_commitment(domain, job.commitment, job.row, node_keys)
    order_id = to_hex(domain.order_id(job.order.order))
    require("the commitment answers the order", expected=order_id, found=job.commitment.commitment.order_id)
    check_order(domain, job.order, job.row)
    check_amount(job)


def check_leases(domain: Domain, leases: list[LeaseEntry], node: str, settlers: set[str], *, copies: int) -> None:
    """Raises WrongFact unless the node held the job's last lease, and no other node's ended at the same time.

    A lease only says when it ends. A job is lent again after the previous lease has ended, so its node must
    hold the lease that ends last. An order of several copies is lent to several nodes at once.
    """
    for entry in leases:
        _require_lent(domain, entry, settlers)
    require("the node held a lease of the job", expected=True, found=any(e.lease.node == node for e in leases))
    if copies > 1:
        return
    ends = {entry.lease.expires for entry in leases if entry.lease.node == node}
    last = max(entry.lease.expires for entry in leases)
    require("the job's last lease is its node's", expected=last, found=max(ends))
    others = {entry.lease.expires for entry in leases if entry.lease.node != node}
    require("no two nodes' leases of a job end together", expected=[], found=sorted(ends & others))


def _require_lent(domain: Domain, entry: LeaseEntry, settlers: set[str]) -> None:
    rule, wanted = "the lease is signed by the settler", " or ".join(sorted(settlers))
    try:
        found = recover(domain.lease_digest(entry.lease), entry.signature)
    except BadSignature as error:
        raise WrongFact(rule, expected=wanted, found=str(error)) from error
    if found not in settlers:
        raise WrongFact(rule, expected=wanted, found=found)


def check_prompts(job: PaidJob, prompts: bytes) -> None:
    """Raises WrongFact unless the packed prompts are the ordered ones."""
    wanted = job.order.order.terms.prompt_root
    try:
        found = to_hex(packed_root(prompts))
    except NotPacked as error:
        found = str(error)
    require("the prompts are under the order's promptRoot", expected=wanted, found=found)
