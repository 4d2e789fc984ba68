"""What the parties have in hand during a sequence: jobs, drafts of epochs, proofs, and how they tamper with them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

from contracts.model.base import U16, U64, ZERO_ADDRESS
from contracts.model.escrow import Escrow
from contracts.model.proofs import LeafProof, Outcomes, leaf_hash
from contracts.protocol.merkle import merkle_proof, merkle_root
from contracts.protocol.packed import pack as pack_words
from contracts.protocol.packed import packed_root
from contracts.protocol.packing import CapProof, bits
from contracts.protocol.records import Commitment, LaneGrant, Order, Params, Terms
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import terms_hash, trace_commit
from tests.differential.abi import Vrs
from tests.differential.twin import person

T = TypeVar("T")
OUTPUT = pack_words([[1, 2, 3], [], [4]])
OTHER_OUTPUTS = (b"", OUTPUT[:-1], OUTPUT + b"\0", b"\xff" * 4 + OUTPUT[4:], OUTPUT[:8], pack_words([[1, 2, 3], [4]]))
"""No packed words, in each way that is told apart, and other words."""
NAMES = (
    "alice", "bob", "carol", "whale", "mallory", "session", "second", "settler", "governor", "guardian", "treasury",
    "owner1", "owner2", "owner3", "owner4", "owner5", "owner6", "node1", "node2", "node3",
    "key3", "key4", "key5", "key6",
)  # fmt: skip
KEYS = {person(name).address: person(name) for name in NAMES}
AMOUNTS = (1, 7, 1000, 10**6, 0, 2**48 - 1, 2**48, 2**64 - 1)


class Draw:
    """Choices of one step; the first option is the plain one, to which Hypothesis shrinks."""

    def __init__(self, source: st.DataObject | Random) -> None:
        self._source = source

    def below(self, n: int) -> int:
        """0 to n - 1."""
        if isinstance(self._source, Random):
            return self._source.randrange(n)
        return self._source.draw(st.integers(0, n - 1))

    def pick(self, *options: T) -> T:
        """One of these."""
        return options[self.below(len(options))]

    def one_in(self, n: int) -> bool:
        """Rarely."""
        return self.below(n) == n - 1


@dataclass(frozen=True)
class Job:
    """An order and what a node made of it."""

    order: Order
    commitment: Commitment
    trace: bytes
    digest: bytes
    amount: int


@dataclass(frozen=True)
class Row:
    """One leaf to be; its amount may be more than a packed row can carry."""

    requester: str
    signer: str
    operator_id: int
    amount: int
    digest: bytes

    def leaf(self) -> bytes:
        """Its hash."""
        return leaf_hash(self.requester, self.signer, self.operator_id, self.amount, self.digest)


@dataclass(frozen=True)
class Draft:
    """An epoch as its settler has it."""

    groups: tuple[tuple[Row, ...], ...]

    @property
    def rows(self) -> list[Row]:
        """All, in order."""
        return [row for group in self.groups for row in group]

    @property
    def root(self) -> bytes:
        """What is posted."""
        return merkle_root([row.leaf() for row in self.rows])

    def proof(self, epoch_id: int, index: int) -> LeafProof:
        """Of one row."""
        row = self.rows[index]
        siblings = tuple(merkle_proof([one.leaf() for one in self.rows], index))
        return LeafProof(epoch_id, index, row.requester, row.signer, row.operator_id, row.amount, row.digest, siblings)


def sign(who: str, digest: bytes) -> bytes:
    """65 bytes; of nobody known, bytes that are no signature."""
    return bytes.fromhex(KEYS[who].sign(digest)[2:]) if who in KEYS else b"\x01" * 64 + b"\x1b"


def tampered(draw: Draw, signature: bytes, digest: bytes) -> bytes:
    """A signature that mostly is left as it is."""
    if not draw.one_in(6):
        return signature
    s = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 - int.from_bytes(signature[32:64], "big")
    return draw.pick(
        sign(person("mallory").address, digest),
        signature[:64] + b"\x00",
        signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]]),
        bytes(64) + b"\x1b",
    )


def split(signature: bytes) -> Vrs:
    """For functions that take v, r and s."""
    return Vrs(signature)


def cap_proof(draw: Draw, escrow: Escrow, requester: str, signer: str, needed: int) -> CapProof:
    """A signed cap that mostly covers what is needed. No proof is a cap of 0."""
    none = CapProof(0, bytes(32), bytes(32), bytes(32))
    cap = draw.pick(needed, needed, needed, needed + 10**6, needed, needed - 1, 0, U64)
    if not 0 < cap <= U64:
        return none
    order = order_of(requester, cap, salt=cap & 7)
    signature = sign(draw.pick(signer, signer, signer, signer, requester), escrow.domain.order_id(order))
    if draw.one_in(12):
        signature = draw.pick(bytes(64) + b"\x1b", b"\xff" * 64 + b"\x1b")
    r, vs = compact("0x" + signature.hex()) if signature[:1] != b"\xff" else (signature[:32], signature[32:64])
    return CapProof(cap, terms_hash(order.terms), r, vs)


def grant_of(requester: str, signer: str, units: int, expiry: int, nonce: int) -> LaneGrant:
    """A requester's leave to open a lane."""
    return LaneGrant(requester=requester, signer=signer, amount=units, expiry=expiry, nonce=nonce)


def order_of(requester: str, cap: int, **terms: Any) -> Order:
    """An order; what is not given is plain."""
    plain: dict[str, Any] = {
        "workload_id": "0x" + "11" * 32, "prompt_root": "0x" + "22" * 32, "texts_hash": "0x" + "33" * 32,
        "params": Params(max_new_tokens=16, seed=7),
        "comparator": 1, "copies": 1, "visibility": 0, "fixed_price": 100, "unit_price": 10, "max_price": 1000,
        "deadline": 2**40 - 1, "salt": 0,
    }  # fmt: skip
    return Order(requester=requester, spend_cap=cap, terms=Terms(**(plain | terms)))


def job_of(escrow: Escrow, order: Order, node: str, units: int, trace: bytes) -> Job:
    """What a node commits to."""
    order_id = escrow.domain.order_id(order)
    commitment = Commitment(
        order_id="0x" + order_id.hex(),
        node=node,
        output_root="0x" + packed_root(OUTPUT).hex(),
        trace_commit="0x" + trace_commit(trace, order_id, node).hex(),
        units=units,
    )
    terms = order.terms
    amount = min(terms.max_price, terms.fixed_price + units * terms.unit_price)
    return Job(order, commitment, trace, escrow.domain.commitment_digest(commitment), amount)


def pack(draw: Draw, draft: Draft, void: frozenset[int], proofs: Sequence[CapProof], operators: Sequence[int]) -> bytes:
    """An epoch's bytes, whatever it holds: what a field cannot carry is cut off."""
    parts = [len(operators).to_bytes(2, "big")] + [operator.to_bytes(4, "big") for operator in operators]
    parts.append(bits(void, len(draft.rows)))
    for group, proof in zip(draft.groups, proofs, strict=True):
        parts.append(bytes.fromhex(group[0].requester[2:] + group[0].signer[2:]) + proof.cap.to_bytes(8, "big"))
        if proof.cap:
            parts.append(proof.terms_hash + proof.r + proof.vs)
        parts.append(len(group).to_bytes(2, "big"))
        for row in group:
            places = [place for place, operator in enumerate(operators) if operator == row.operator_id]
            amount = row.amount & (2**48 - 1)
            parts.append(draw.pick(*places).to_bytes(2, "big") + amount.to_bytes(6, "big") + row.digest)
    return b"".join(parts)


def broken(draw: Draw, packed: bytes) -> bytes:
    """Bytes with something wrong about them."""
    at = draw.below(len(packed))
    start = draw.below(min(len(packed), 64))
    last = len(packed) - 42 if len(packed) > 42 else 0
    return draw.pick(
        packed[:at],
        packed + b"\x00",
        b"\x00\x00" + packed[2:],
        _set(packed, start, 0xFF),
        _set(packed, start, 0),
        _set(packed, start, packed[start] ^ 1),
        _set(packed, at, packed[at] ^ 1),
        _set(packed, last + 1, 0),
        _set(packed, last + 1, 99),
    )


def _set(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :] if at < len(data) else data


def wrong_proof(draw: Draw, proof: LeafProof) -> LeafProof:
    """A proof that proves nothing; its first form is another leaf's place."""
    changed: dict[str, Any] = draw.pick(
        {"index": proof.index + 1},
        {"amount_units": (proof.amount_units + 1) & U64},
        {"siblings": (*proof.siblings, bytes(32))},
        {"siblings": proof.siblings[:-1]},
        {"siblings": tuple(bytes(32) for _ in proof.siblings), "digest": bytes(32)},
        {"epoch_id": proof.epoch_id + 1},
        {"epoch_id": 0},
        {"index": U16},
        {"requester": ZERO_ADDRESS},
        {"operator_id": proof.operator_id ^ 1},
    )
    return replace(proof, **changed)


def wrong_outcomes(draw: Draw, outcomes: Outcomes) -> Outcomes:
    """Other bitmaps than the settled ones."""
    return draw.pick(
        Outcomes(outcomes.void_bits + b"\x00", outcomes.skipped_bits),
        Outcomes(b"", b""),
        Outcomes(bytes(len(outcomes.void_bits)), b"\xff" * len(outcomes.skipped_bits)),
        Outcomes(outcomes.skipped_bits, outcomes.void_bits),
        Outcomes(b"", outcomes.void_bits + outcomes.skipped_bits),
    )
