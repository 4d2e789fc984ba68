"""Examples for the OpenAPI document: real records, signed with a well-known key of no value."""

from typing import Any

from contracts.protocol import wire
from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.protocol.pace import pace_of
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.records import Commitment, NodeRequest, Opening, Order, Params, Record, Terms, Verdict
from contracts.protocol.signing import Signer
from contracts.protocol.texts import encode_texts
from contracts.protocol.typed_data import Domain, answer_commit, trace_commit

_KEY = Signer(keccak(b"a key of no value, for examples"))
_DOMAIN = Domain(31337, "0x" + "e5" * 20)
_WORKLOAD = to_hex(keccak(b"a workload's canonical manifest"))
_OUTPUT = to_hex(packed_root(pack([[504, 6376, 314, 4461, 2]])))
_TEXTS = ["Why is the sky blue?"]
_TRACE = keccak(b"a trace")
_TIME = 1_800_000_000


def _shown(summary: str, record: Record) -> dict[str, Any]:
    return {"example": {"summary": summary, "value": record.model_dump(mode="json")}}


_ORDER = Order(
    requester=_KEY.address,
    spend_cap=1_700_000,
    terms=Terms(
        workload_id=_WORKLOAD,
        prompt_root=to_hex(packed_root(pack([[11, 314, 260, 6376, 4461, 47]]))),
        texts_hash=to_hex(keccak(encode_texts(_TEXTS))),
        params=Params(max_new_tokens=16),
        fixed_price=100_000,
        unit_price=100_000,
        max_price=1_700_000,
        deadline=_TIME,
        salt=1,
    ),
)
_ORDER_ID = _DOMAIN.order_id(_ORDER)
_COMMITMENT = Commitment(
    order_id=to_hex(_ORDER_ID),
    node=_KEY.address,
    output_root=_OUTPUT,
    trace_commit=to_hex(trace_commit(_TRACE, _ORDER_ID, _KEY.address)),
    units=16,
)
_DIGEST = _DOMAIN.commitment_digest(_COMMITMENT)
_OPENING = Opening(trace_hash=to_hex(_TRACE), output_root=_OUTPUT, units=16)
_VERDICT = Verdict(
    commitment_digest=to_hex(_DIGEST),
    verifier=_KEY.address,
    answer_commit=to_hex(answer_commit(_OPENING, _DIGEST, _KEY.address)),
)


def _request(action: str, order_id: bytes) -> tuple[NodeRequest, str]:
    request = NodeRequest(node=_KEY.address, action=action, order_id=to_hex(order_id), timestamp=_TIME)
    return request, _KEY.sign(_DOMAIN.node_request_digest(request))


_LEASE, _LEASE_SIGNATURE = _request(wire.ACTION_LEASE, ZERO32)
_CANARY, _CANARY_SIGNATURE = _request(wire.ACTION_CANARY, ZERO32)
_BEAT, _BEAT_SIGNATURE = _request(wire.ACTION_HEARTBEAT, _ORDER_ID)
_RETURN, _RETURN_SIGNATURE = _request(wire.ACTION_RETURN, _ORDER_ID)

SUBMIT_ORDER = _shown(
    "16 tokens at most, from a requester's own lane",
    wire.SubmitOrder(order=_ORDER, signer=_KEY.address, signature=_KEY.sign(_ORDER_ID)),
)
TOKENIZE = _shown("One text", wire.Tokenize(workload_id=_WORKLOAD, texts=_TEXTS))
LEASE_REQUEST = _shown(
    "A node asks for a job of one workload",
    wire.LeaseRequest(
        request=_LEASE, signature=_LEASE_SIGNATURE, workload_id=_WORKLOAD, pace=pace_of(read_per_s=200, write_per_s=25)
    ),
)
CANARY_REQUEST = _shown(
    "A new node asks for its canary job",
    wire.CanaryRequest(request=_CANARY, signature=_CANARY_SIGNATURE, workload_id=_WORKLOAD),
)
HEARTBEAT = _shown("A node still works on its job", wire.Heartbeat(request=_BEAT, signature=_BEAT_SIGNATURE))
RETURN_LEASE = _shown(
    "A node gives a job back that it can't finish in time",
    wire.ReturnLease(
        request=_RETURN, signature=_RETURN_SIGNATURE, reason="too_slow",
        words="This host does 5 tokens/s, the order leaves 20 s.",
    ),
)  # fmt: skip
SUBMIT_COMMITMENT = _shown(
    "16 tokens were generated", wire.SubmitCommitment(commitment=_COMMITMENT, signature=_KEY.sign(_DIGEST))
)
SUBMIT_TRACE = _shown(
    "A trace whose bytes were put among the blobs", wire.SubmitTrace(commitment_digest=to_hex(_DIGEST), trace=_WORKLOAD)
)
SUBMIT_VERDICT = _shown(
    "A verdict that matches, with its opening",
    wire.SubmitVerdict(
        epoch_id=1, verdict=_VERDICT, signature=_KEY.sign(_DOMAIN.verdict_digest(_VERDICT)), opening=_OPENING
    ),
)
