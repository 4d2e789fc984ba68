"""EIP-712 digests of the protocol's records, packed by hand (SPEC section 3).

That takes a tenth of a general encoder's time. Golden vectors compare it with eth-account's encoder and the contracts.
"""

from dataclasses import dataclass
from functools import cached_property

from contracts.protocol.hashing import from_hex, keccak
from contracts.protocol.records import Commitment, LaneGrant, Lease, NodeRequest, Opening, Order, Params, Terms, Verdict

DOMAIN_TYPE = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
PARAMS_TYPE = "Params(uint32 maxNewTokens,uint32 temperatureMilli,uint32 topPPpm,uint64 seed)"
_TERMS_ALONE = (
    "Terms(bytes32 workloadId,bytes32 promptRoot,bytes32 textsHash,Params params,uint8 comparator,uint8 copies,"
    "uint8 visibility,uint64 fixedPrice,uint64 unitPrice,uint64 maxPrice,uint40 deadline,uint64 salt)"
)
TERMS_TYPE = _TERMS_ALONE + PARAMS_TYPE
ORDER_TYPE = "Order(address requester,uint64 spendCap,Terms terms)" + PARAMS_TYPE + _TERMS_ALONE
"""EIP-712 appends the types that a type refers to, in alphabetical order."""
COMMITMENT_TYPE = "Commitment(bytes32 orderId,address node,bytes32 outputRoot,bytes32 traceCommit,uint32 units)"
VERDICT_TYPE = "Verdict(bytes32 commitmentDigest,address verifier,bytes32 answerCommit)"
LANE_GRANT_TYPE = "LaneGrant(address requester,address signer,uint64 amount,uint40 expiry,uint256 nonce)"
NODE_KEY_TYPE = "NodeKey(address owner,address node)"
LEASE_TYPE = "Lease(bytes32 orderId,address node,uint40 expires)"
NODE_REQUEST_TYPE = "NodeRequest(address node,string action,bytes32 orderId,uint40 timestamp)"

NAME = "Assay"
VERSION = "2"


def _type_hash(type_string: str) -> bytes:
    return keccak(type_string.encode())


_DOMAIN_HASH, _PARAMS_HASH = _type_hash(DOMAIN_TYPE), _type_hash(PARAMS_TYPE)
_TERMS_HASH, _ORDER_HASH = _type_hash(TERMS_TYPE), _type_hash(ORDER_TYPE)
_COMMITMENT_HASH, _VERDICT_HASH = _type_hash(COMMITMENT_TYPE), _type_hash(VERDICT_TYPE)
_NODE_KEY_HASH, _LEASE_HASH = _type_hash(NODE_KEY_TYPE), _type_hash(LEASE_TYPE)
_NODE_REQUEST_HASH, _LANE_GRANT_HASH = _type_hash(NODE_REQUEST_TYPE), _type_hash(LANE_GRANT_TYPE)


def _word(value: int | str) -> bytes:
    """One ABI word: an integer, or 0x hex of an address or bytes32, left-padded."""
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    return from_hex(value).rjust(32, b"\0")


def _struct(type_hash: bytes, *words: int | str | bytes) -> bytes:
    return keccak(type_hash + b"".join(w if isinstance(w, bytes) else _word(w) for w in words))


@dataclass(frozen=True)
class Domain:
    """The EIP-712 domain: one contract on one chain."""

    chain_id: int
    verifying_contract: str

    @cached_property
    def separator(self) -> bytes:
        return _struct(
            _DOMAIN_HASH,
            keccak(NAME.encode()),
            keccak(VERSION.encode()),
            self.chain_id,
            self.verifying_contract.lower(),
        )

    def digest(self, struct_hash: bytes) -> bytes:
        """The 32 bytes to sign for a struct."""
        return keccak(b"\x19\x01" + self.separator + struct_hash)

    def order_id(self, order: Order) -> bytes:
        """The order's digest, which is its id."""
        return self.digest(order_struct_hash(order.requester, order.spend_cap, terms_hash(order.terms)))

    def commitment_digest(self, commitment: Commitment) -> bytes:
        """What a node signs; the digest in its leaf."""
        c = commitment
        return self.digest(_struct(_COMMITMENT_HASH, c.order_id, c.node, c.output_root, c.trace_commit, c.units))

    def verdict_digest(self, verdict: Verdict) -> bytes:
        """What a verifier signs; the digest in the leaf that pays the check."""
        return self.digest(_struct(_VERDICT_HASH, verdict.commitment_digest, verdict.verifier, verdict.answer_commit))

    def lane_grant_digest(self, grant: LaneGrant) -> bytes:
        """What a requester signs so that anyone may open its lane for another signer."""
        g = grant
        return self.digest(_struct(_LANE_GRANT_HASH, g.requester, g.signer, g.amount, g.expiry, g.nonce))

    def lease_digest(self, lease: Lease) -> bytes:
        """What the settler signs when it lends a job."""
        return self.digest(_struct(_LEASE_HASH, lease.order_id, lease.node, lease.expires))

    def node_request_digest(self, request: NodeRequest) -> bytes:
        """What a node signs to authenticate a call."""
        r = request
        return self.digest(_struct(_NODE_REQUEST_HASH, r.node, keccak(r.action.encode()), r.order_id, r.timestamp))

    def node_key_digest(self, owner: str, node: str) -> bytes:
        """What a node key signs to join an operator; use StakeManager's domain."""
        return self.digest(_struct(_NODE_KEY_HASH, owner.lower(), node.lower()))


def terms_hash(terms: Terms) -> bytes:
    """The struct hash of Terms, all that the chain needs of them to check a cap."""
    t = terms
    return _struct(
        _TERMS_HASH, t.workload_id, t.prompt_root, t.texts_hash, params_hash(t.params), t.comparator, t.copies,
        t.visibility, t.fixed_price, t.unit_price, t.max_price, t.deadline, t.salt,
    )  # fmt: skip


def params_hash(params: Params) -> bytes:
    p = params
    return _struct(_PARAMS_HASH, p.max_new_tokens, p.temperature_milli, p.top_p_ppm, p.seed)


def order_struct_hash(requester: str, spend_cap: int, terms_hash_: bytes) -> bytes:
    """The struct hash of an Order from the hash of its terms."""
    return _struct(_ORDER_HASH, requester, spend_cap, terms_hash_)


def trace_commit(trace_hash: bytes, order_id: bytes, node: str) -> bytes:
    """Hides a trace hash in a commitment: nobody can guess it, or use it for another node or order."""
    return keccak(trace_hash + order_id + from_hex(node))


def answer_commit(opening: Opening, commitment_digest: bytes, verifier: str) -> bytes:
    """Hides an answer in a verdict, bound to the verifier so that nobody can copy it."""
    packed = from_hex(opening.trace_hash) + from_hex(opening.output_root) + opening.units.to_bytes(4, "big")
    return keccak(packed + commitment_digest + from_hex(verifier))


def answer_key(opening: Opening) -> bytes:
    """Answers are equal iff their keys are."""
    return keccak(from_hex(opening.trace_hash) + from_hex(opening.output_root) + opening.units.to_bytes(4, "big"))


def differences(opening: Opening, commitment: Commitment) -> list[str]:
    """Which of trace, output and units differ between what a verifier computed and what the node committed to."""
    expected = trace_commit(from_hex(opening.trace_hash), from_hex(commitment.order_id), commitment.node)
    equal = {
        "trace": from_hex(commitment.trace_commit) == expected,
        "output": commitment.output_root == opening.output_root,
        "units": commitment.units == opening.units,
    }
    return [name for name, holds in equal.items() if not holds]


def agrees(opening: Opening, commitment: Commitment) -> bool:
    """Whether nothing differs."""
    return not differences(opening, commitment)
