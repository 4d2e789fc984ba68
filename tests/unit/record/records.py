"""Signed records of one job, for tests without a chain."""

from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.log import CommitmentEntry, OrderEntry, RowEntry, WorkloadEntry
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import Commitment, Opening, Order, Params, Terms
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import Domain, trace_commit
from contracts.record.log_book import LogBook, PaidJob
from tests.world.manifests import manifest, up_to_tokens

DOMAIN = Domain(31337, "0x" + "ee" * 20)
REQUESTER, NODE = Signer(keccak(b"requester")), Signer(keccak(b"node"))
OPERATOR = 3
PARAMS = Params(max_new_tokens=4)
MANIFEST = manifest(
    model="fake", engine_version="1", params=up_to_tokens(8), check_price_units=7,
    deterrence={
        "honest_cost_ppm": 700_000, "cheat_cost_ppm": 100_000, "detection_ppm": 990_000, "collusion_ppm": 100_000,
        "false_alarm_ppm": 1_000,
    },
)  # fmt: skip


def opening(index: int) -> Opening:
    """What honest work on job `index` gives."""
    trace, output = keccak(b"trace %d" % index), keccak(b"output %d" % index)
    return Opening(trace_hash=to_hex(trace), output_root=to_hex(output), units=4)


def prompts(index: int) -> bytes:
    """What job `index` asks, packed."""
    return pack([[1, 2, index]])


def job(index: int = 0, epoch_id: int = 1, *, max_price: int = 100) -> PaidJob:
    """A job whose records all hold."""
    terms = Terms(
        workload_id=MANIFEST.workload_id(),
        prompt_root=to_hex(packed_root(prompts(index))),
        texts_hash=to_hex(keccak(b"texts %d" % index)),
        params=PARAMS,
        fixed_price=1,
        unit_price=2,
        max_price=max_price,
        deadline=2000,
        salt=index,
    )
    order = Order(requester=REQUESTER.address, spend_cap=10_000, terms=terms)
    order_id = DOMAIN.order_id(order)
    answer = opening(index)
    commit = trace_commit(bytes.fromhex(answer.trace_hash[2:]), order_id, NODE.address)
    commitment = Commitment(
        order_id=to_hex(order_id),
        node=NODE.address,
        output_root=answer.output_root,
        trace_commit=to_hex(commit),
        units=answer.units,
    )
    digest = DOMAIN.commitment_digest(commitment)
    row = RowEntry(
        index=index,
        requester=REQUESTER.address,
        signer=REQUESTER.address,
        operator_id=OPERATOR,
        amount_units=amount_units(terms, answer.units),
        digest=to_hex(digest),
    )
    return PaidJob(
        epoch_id,
        row,
        OrderEntry(order=order, signer=REQUESTER.address, signature=REQUESTER.sign(order_id)),
        CommitmentEntry(commitment=commitment, signature=NODE.sign(digest)),
        MANIFEST,
    )


def book(*jobs: PaidJob) -> LogBook:
    """A log book of these jobs by their epochs, with nothing in the epochs between."""
    found = LogBook(DOMAIN)
    for epoch_id in range(1, max(job.epoch_id for job in jobs) + 1):
        own = [job for job in jobs if job.epoch_id == epoch_id]
        entries = [entry for job in own for entry in (job.order, job.commitment, job.row)]
        found.add(epoch_id, [WorkloadEntry(manifest=MANIFEST.model_dump(mode="json")), *entries])
    return found
