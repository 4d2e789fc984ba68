"""Writes the golden vectors (README.md beside this file) from a fixed seed."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import EXACT_ENGINE, InputLimits, IntegerRange, Manifest, Template
from contracts.protocol.merkle import Row, lane_key, merkle_proof, merkle_root
from contracts.protocol.packed import pack as pack_words
from contracts.protocol.packed import packed_root
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, bits, outcomes_hash, pack
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import U32, U40, U48, U64, Commitment, LaneGrant, Opening, Order, Params, Terms, Verdict
from contracts.protocol.sampling import Deterrence
from contracts.protocol.signing import Signer, compact
from contracts.protocol.typed_data import Domain, answer_commit, answer_key, terms_hash, trace_commit
from contracts.protocol.workload import encode_workload

FOLDER = Path(__file__).parent
_CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
Case = dict[str, Any]


class Maker:
    """Makes random protocol values; the ends of each integer's range come up often."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def bytes32(self) -> bytes:
        return self.random.randbytes(32)

    def hex32(self) -> str:
        return to_hex(self.bytes32())

    def address(self) -> str:
        return to_hex(self.random.randbytes(20))

    def uint(self, high: int, low: int = 0) -> int:
        return self.random.choice(
            [low, high, self.random.randint(low, high), self.random.randint(low, min(high, 10**6))]
        )

    def domain(self) -> Domain:
        return Domain(self.random.choice([1, 31337, 2**64 - 1]), self.address())

    def terms(self) -> Terms:
        return Terms(
            workload_id=self.hex32(),
            prompt_root=self.hex32(),
            texts_hash=self.hex32(),
            params=Params(
                max_new_tokens=self.uint(U32),
                temperature_milli=self.uint(U32),
                top_p_ppm=self.uint(U32),
                seed=self.uint(U64),
            ),
            comparator=self.random.randint(1, 2),
            copies=self.uint(255, 1),
            visibility=self.random.randint(0, 1),
            fixed_price=self.uint(U64),
            unit_price=self.uint(U64),
            max_price=self.uint(U64),
            deadline=self.uint(U40),
            salt=self.uint(U64),
        )

    def ids(self, most: int) -> tuple[int, ...]:
        return tuple(self.uint(U32) for _ in range(self.random.randint(0, most)))

    def row(self, requester: str, signer: str, operators: list[int]) -> Row:
        return Row(requester, signer, self.random.choice(operators), self.uint(U48), self.bytes32())


def order(m: Maker) -> Case:
    domain, terms = m.domain(), m.terms()
    record = Order(requester=m.address(), spend_cap=m.uint(U64), terms=terms)
    return {
        "chainId": str(domain.chain_id),
        "verifyingContract": domain.verifying_contract,
        "requester": record.requester,
        "spendCap": str(record.spend_cap),
        "workloadId": terms.workload_id,
        "promptRoot": terms.prompt_root,
        "textsHash": terms.texts_hash,
        "maxNewTokens": terms.params.max_new_tokens,
        "temperatureMilli": terms.params.temperature_milli,
        "topPPpm": terms.params.top_p_ppm,
        "seed": str(terms.params.seed),
        "comparator": terms.comparator,
        "copies": terms.copies,
        "visibility": terms.visibility,
        "fixedPrice": str(terms.fixed_price),
        "unitPrice": str(terms.unit_price),
        "maxPrice": str(terms.max_price),
        "deadline": str(terms.deadline),
        "salt": str(terms.salt),
        "termsHash": to_hex(terms_hash(terms)),
        "digest": to_hex(domain.order_id(record)),
    }


def commitment(m: Maker) -> Case:
    domain, order_id, node, trace = m.domain(), m.bytes32(), m.address(), m.bytes32()
    record = Commitment(
        order_id=to_hex(order_id),
        node=node,
        output_root=m.hex32(),
        trace_commit=to_hex(trace_commit(trace, order_id, node)),
        units=m.uint(U32),
    )
    return {
        "chainId": str(domain.chain_id),
        "verifyingContract": domain.verifying_contract,
        "orderId": record.order_id,
        "node": node,
        "outputRoot": record.output_root,
        "traceHash": to_hex(trace),
        "traceCommit": record.trace_commit,
        "units": record.units,
        "digest": to_hex(domain.commitment_digest(record)),
    }


def verdict(m: Maker) -> Case:
    domain, digest, verifier = m.domain(), m.bytes32(), m.address()
    opening = Opening(trace_hash=m.hex32(), output_root=m.hex32(), units=m.uint(U32))
    committed = answer_commit(opening, digest, verifier)
    record = Verdict(commitment_digest=to_hex(digest), verifier=verifier, answer_commit=to_hex(committed))
    return {
        "chainId": str(domain.chain_id),
        "verifyingContract": domain.verifying_contract,
        "commitmentDigest": record.commitment_digest,
        "verifier": verifier,
        "traceHash": opening.trace_hash,
        "outputRoot": opening.output_root,
        "units": opening.units,
        "answerKey": to_hex(answer_key(opening)),
        "answerCommit": record.answer_commit,
        "digest": to_hex(domain.verdict_digest(record)),
    }


def node_key(m: Maker) -> Case:
    domain, owner, node = m.domain(), m.address(), m.address()
    return {
        "chainId": str(domain.chain_id),
        "verifyingContract": domain.verifying_contract,
        "owner": owner,
        "node": node,
        "digest": to_hex(domain.node_key_digest(owner, node)),
    }


def lane_grant(m: Maker) -> Case:
    domain = m.domain()
    record = LaneGrant(
        requester=m.address(), signer=m.address(), amount=m.uint(U64), expiry=m.uint(U32), nonce=m.uint(2**256 - 1)
    )
    return {
        "chainId": str(domain.chain_id),
        "verifyingContract": domain.verifying_contract,
        "requester": record.requester,
        "signer": record.signer,
        "amount": str(record.amount),
        "expiry": str(record.expiry),
        "nonce": str(record.nonce),
        "digest": to_hex(domain.lane_grant_digest(record)),
    }


def leaf(m: Maker) -> Case:
    row = m.row(m.address(), m.address(), [m.uint(U32)])
    return {
        "requester": row.requester,
        "signer": row.signer,
        "operatorId": row.operator_id,
        "amountUnits": str(row.amount_units),
        "digest": to_hex(row.digest),
        "laneKey": to_hex(lane_key(row.requester, row.signer)),
        "leaf": to_hex(row.leaf()),
    }


def amount(m: Maker) -> Case:
    terms, units = m.terms(), m.uint(U32)
    return {
        "fixedPrice": str(terms.fixed_price),
        "unitPrice": str(terms.unit_price),
        "maxPrice": str(terms.max_price),
        "units": units,
        "amountUnits": str(amount_units(terms, units)),
    }


def tree(m: Maker) -> Case:
    leaves = [m.bytes32() for _ in range(m.random.choice([1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 16, 17, 33, 100]))]
    index = m.random.randrange(len(leaves))
    return {
        "leaves": to_hex(b"".join(leaves)),
        "count": len(leaves),
        "index": index,
        "siblings": to_hex(b"".join(merkle_proof(leaves, index))),
        "root": to_hex(merkle_root(leaves)),
    }


def packed(m: Maker) -> Case:
    """Packs lists whose lengths are near those that fill a block or a level."""
    lengths = [m.random.choice([0, 1, 2, 63, 64, 65, 128, 200]) for _ in range(m.random.choice([1, 1, 2, 3, 64, 65]))]
    if m.random.random() < 0.1:
        lengths = [64 * 64 + 1]
    data = pack_words([[m.uint(U32) for _ in range(length)] for length in lengths])
    return {"packed": to_hex(data), "counts": lengths, "root": to_hex(packed_root(data))}


def workload(m: Maker) -> Case:
    meter: Literal["new_tokens", "input_tokens"] = m.random.choice(["new_tokens", "input_tokens"])
    allowed = {"max_new_tokens": IntegerRange(minimum=1, maximum=m.uint(512, 1))}
    root = m.random.choice([None, m.hex32()])
    manifest = Manifest(
        kind="generation", model=f"model-{m.uint(U32)}", weights_sha256=m.bytes32().hex(),
        model_root=root, tokenizer_sha256=m.bytes32().hex(), engine="torch-float" if root is None else EXACT_ENGINE,
        template=Template(before=m.ids(30), after=m.ids(6)), stops=m.ids(3),
        engine_version=str(m.uint(9)), comparator=m.random.choice(["exact", "native"]),
        params=allowed if meter == "new_tokens" else {}, unit="token", meter=meter,
        input=InputLimits(max_texts=m.uint(64, 1), max_bytes=m.uint(8192, 1), max_tokens=m.uint(U32, 1)),
        check_price_units=m.uint(U64),
        deterrence=Deterrence(**{name: m.uint(1_000_000) for name in Deterrence.model_fields}),
    )  # fmt: skip
    return {
        "manifest": manifest.canonical().decode(),
        "encoded": to_hex(encode_workload(manifest)),
        "workloadId": manifest.workload_id(),
    }


def epoch(m: Maker) -> Case:
    operators = [m.random.randint(1, U32) for _ in range(m.random.randint(1, 6))]
    groups = tuple(_group(m, operators) for _ in range(m.random.randint(1, 5)))
    count = sum(len(group.rows) for group in groups)
    void = frozenset(i for i in range(count) if m.random.random() < 0.2)
    record = Epoch(groups, void)
    void_bits = bits(void, count)
    skipped_bits = bits({i for i in range(count) if m.random.random() < 0.2}, count)
    return {
        "packed": to_hex(pack(record)),
        "count": count,
        "root": to_hex(merkle_root([row.leaf() for row in record.rows])),
        "voidBits": to_hex(void_bits),
        "skippedBits": to_hex(skipped_bits),
        "outcomesHash": to_hex(outcomes_hash(void_bits, skipped_bits).to_bytes(20, "big")),
    }


def _group(m: Maker, operators: list[int]) -> LaneGroup:
    requester, signer = m.address(), m.address()
    proof = None
    if m.random.random() < 0.7:
        proof = CapProof(m.uint(U64, 1), m.bytes32(), m.bytes32(), m.bytes32())
    rows = tuple(m.row(requester, signer, operators) for _ in range(m.random.randint(1, 7)))
    return LaneGroup(requester, signer, proof, rows)


def signature(m: Maker) -> Case:
    signer, digest = Signer(m.random.randbytes(32)), m.bytes32()
    good = signer.sign(digest)
    r, vs = compact(good)
    kind = m.random.choice(["good", "good", "high s"])
    if kind == "high s":
        s = _CURVE_ORDER - int(good[66:130], 16)
        good = good[:66] + f"{s:064x}" + ("1c" if good.endswith("1b") else "1b")
    return {
        "digest": to_hex(digest),
        "signature": good,
        "r": to_hex(r),
        "vs": to_hex(vs),
        "signer": signer.address if kind == "good" else "0x" + "00" * 20,
    }


FILES: dict[str, tuple[Callable[[Maker], Case], int]] = {
    "orders": (order, 60),
    "commitments": (commitment, 40),
    "verdicts": (verdict, 40),
    "node_keys": (node_key, 20),
    "lane_grants": (lane_grant, 20),
    "leaves": (leaf, 40),
    "amounts": (amount, 40),
    "trees": (tree, 40),
    "packed": (packed, 40),
    "workloads": (workload, 20),
    "epochs": (epoch, 20),
    "signatures": (signature, 30),
}


def render(name: str) -> str:
    """The text of one vector file."""
    make, cases = FILES[name]
    maker = Maker(seed=sum(name.encode()))
    rows = [make(maker) for _ in range(cases)]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    return json.dumps({name: columns}, indent=1) + "\n"


if __name__ == "__main__":
    for name in FILES:
        (FOLDER / f"{name}.json").write_text(render(name))
