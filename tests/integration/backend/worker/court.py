"""What a test needs of the court: an operator with stake, admitted verifiers, and a case against a row."""

from typing import Any

from eth_utils.address import to_checksum_address
from sqlmodel import select

from backend.services import epoch_facts
from backend.store.tables import CommitmentRow, LeafRow, OrderRow
from contracts.protocol.hashing import from_hex, keccak
from contracts.protocol.merkle import merkle_proof
from contracts.protocol.records import Commitment, Opening, Order
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import answer_commit
from tests.integration.backend.worker.bench import KEYS, Bench
from verifier.verdicts.structs import commitment_tuple, order_tuple

WRONG = Opening(trace_hash="0x" + "77" * 32, output_hash="0x" + "88" * 32, units=3)


class Court:
    """Two verifiers who hold most of the stake, and an operator that has something to lose."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._stakes, self._court = bench, bench.chain.stakes.functions, bench.chain.court.functions
        self._leaves: dict[bytes, tuple[Any, ...]] = {}
        bench.add_node_key()
        bench.call("deployer", self._stakes.stake(bench.operator_id, 10**6))
        for name in ("judge-1", "judge-2"):
            KEYS[name] = Signer(keccak(name.encode()))
            bench.give_ether(name)
            self._admit(name)

    def _admit(self, name: str) -> None:
        bench, governor = self._bench, self._bench.chain.governor.functions
        bench.call(name, self._stakes.register(bench.address(name)))
        account = int(self._stakes.operatorIdOf(bench.address(name)).call())
        bench.call("deployer", self._stakes.stake(account, bench.constants.min_verifier_stake_units))
        admit = self._stakes.admitVerifier(account, bench.address(name))._encode_transaction_data()
        call = (bench.chain.stakes.address, 0, admit, bytes(32), account.to_bytes(32, "big"))
        bench.call("deployer", governor.schedule(*call, bench.constants.timelock_s))
        bench.wait(bench.constants.timelock_s + 1)
        bench.call("deployer", governor.execute(*call))

    def accuse(self, epoch_id: int, row: CommitmentRow) -> bytes:
        """Both verifiers commit to one answer that is not the node's. Returns the case's id."""
        bench, digest = self._bench, from_hex(row.digest)
        with bench.database.read() as session:
            leaf = session.exec(select(LeafRow).where(LeafRow.digest == row.digest)).one()
            order = Order.model_validate_json(session.get_one(OrderRow, row.order_id).order_json)
            rows = epoch_facts.rows_of(session, epoch_id)
        proof = (
            epoch_id, leaf.index, to_checksum_address(leaf.requester), to_checksum_address(leaf.signer),
            leaf.operator_id, leaf.amount, digest, merkle_proof([one.leaf() for one in rows], leaf.index),
        )  # fmt: skip
        case_id = bytes(self._court.caseIdOf(proof).call())
        self._leaves[case_id] = (*proof[:-1], [])
        commitment = commitment_tuple(Commitment.model_validate_json(row.commitment_json))
        first, second = (answer_commit(WRONG, digest, KEYS[name].address) for name in ("judge-1", "judge-2"))
        signature = from_hex(row.signature)
        bench.call("judge-1", self._court.openCase(proof, order_tuple(order), commitment, signature, first))
        bench.call("judge-2", self._court.commitVerdict(case_id, second))
        return case_id

    def reveal(self, case_id: bytes, row: CommitmentRow) -> None:
        """Both open their answer, after the commit window."""
        commitment: Any = commitment_tuple(Commitment.model_validate_json(row.commitment_json))
        for name in ("judge-1", "judge-2"):
            opened = (from_hex(WRONG.trace_hash), from_hex(WRONG.output_hash), WRONG.units)
            self._bench.call(name, self._court.reveal(self._leaves[case_id], commitment, *opened))

    def execute(self, case_id: bytes, verifier_ids: list[int]) -> None:
        """By a stranger, of a leaf that is not final or was not found wrong."""
        self._bench.call("deployer", self._court.execute(self._leaves[case_id], (b"", b""), verifier_ids))
