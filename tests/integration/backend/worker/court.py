"""What a test needs of the court: an operator with stake, admitted verifiers, and a case against a row."""

from dataclasses import replace
from typing import Any

from eth_utils.address import to_checksum_address
from sqlmodel import select

from backend.store import facts
from backend.store.tables import CommitmentRow, LeafRow, OrderRow
from contracts.onchain.structs import commitment_tuple, order_tuple
from contracts.protocol.hashing import from_hex
from contracts.protocol.merkle import merkle_proof
from contracts.protocol.records import Commitment, Opening, Order
from contracts.protocol.typed_data import answer_commit
from tests.integration.backend.worker.bench import KEYS, PLAN, Bench
from tests.world.founding import Operator

WRONG = Opening(trace_hash="0x" + "77" * 32, output_root="0x" + "88" * 32, units=3)


JUDGES = ("judge-1", "judge-2")
COURT = replace(
    PLAN,
    operators=(
        Operator("node", 10**6, "node"), Operator("verifier"),
        *(Operator(name, PLAN.constants.min_verifier_stake_units, "verifier") for name in JUDGES),
    ),
)  # fmt: skip
"""Two verifiers who hold most of the stake, and an operator that has something to lose."""


class Court:
    """A bench whose chain was founded as COURT."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self._court = bench, bench.chain.court.functions
        self._leaves: dict[bytes, tuple[Any, ...]] = {}

    def accuse(self, epoch_id: int, row: CommitmentRow) -> bytes:
        """Both verifiers commit to one answer that is not the node's. Returns the case's id."""
        bench, digest = self.bench, from_hex(row.digest)
        with bench.database.read() as session:
            leaf = session.exec(select(LeafRow).where(LeafRow.digest == row.digest)).one()
            order = Order.model_validate_json(session.get_one(OrderRow, row.order_id).order_json)
            rows = facts.rows_of(session, epoch_id)
        proof = (
            epoch_id, leaf.index, to_checksum_address(leaf.requester), to_checksum_address(leaf.signer),
            leaf.operator_id, leaf.amount, digest, merkle_proof([one.leaf() for one in rows], leaf.index),
        )  # fmt: skip
        case_id = bytes(self._court.caseIdOf(proof).call())
        self._leaves[case_id] = (*proof[:-1], [])
        commitment = commitment_tuple(Commitment.model_validate_json(row.commitment_json))
        first, second = (answer_commit(WRONG, digest, KEYS[name].address) for name in JUDGES)
        signature = from_hex(row.signature)
        bench.call("judge-1", self._court.openCase(proof, order_tuple(order), commitment, signature, first))
        bench.call("judge-2", self._court.commitVerdict(case_id, second))
        return case_id

    def reveal(self, case_id: bytes, row: CommitmentRow) -> None:
        """Both open their answer, after the commit window."""
        commitment: Any = commitment_tuple(Commitment.model_validate_json(row.commitment_json))
        for name in JUDGES:
            opened = (from_hex(WRONG.trace_hash), from_hex(WRONG.output_root), WRONG.units)
            self.bench.call(name, self._court.reveal(self._leaves[case_id], commitment, *opened))

    def execute(self, case_id: bytes, verifier_ids: list[int]) -> None:
        """By a stranger, of a leaf that is not final or was not found wrong."""
        self.bench.call("deployer", self._court.execute(self._leaves[case_id], (b"", b""), verifier_ids))
