"""Epochs of several shapes: what a job costs with its share of post and settlement and of one claim per 1,000 jobs.

As in a running network every lane was charged and every operator credited and paid before. Digests are random, amounts
random below 2^32 units, every lane brings a freshly signed cap.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.gas.network import CONSTANTS, Network, account_of, key_of
from contracts.protocol.hashing import keccak
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.packing import CapProof, Epoch, LaneGroup, pack
from contracts.protocol.signing import compact
from contracts.protocol.typed_data import order_struct_hash

MOST_TRANSACTION_BYTES = 128 * 1024
"""What go-ethereum's pool takes (txMaxSize)."""
ENVELOPE_BYTES = 4 + 3 * 32 + 150
"""Selector and ABI words of settleEpoch, and the rest of a signed EIP-1559 transaction, generously."""
JOBS_A_CLAIM = 1000


@dataclass(frozen=True)
class Shape:
    """So many jobs of so many lanes and operators."""

    jobs: int
    lanes: int
    operators: int

    @property
    def name(self) -> str:
        """As figures call it."""
        return f"{self.jobs}x{self.lanes}x{self.operators}"


@dataclass(frozen=True)
class Measured:
    """Gas of the calls of one epoch."""

    jobs: int
    lanes: int
    operators: int
    packed_bytes: int
    post_gas: int
    settle_gas: int
    claim_gas: int

    @property
    def gas_per_job(self) -> int:
        """All in."""
        return (self.post_gas + self.settle_gas) // self.jobs + self.claim_gas // JOBS_A_CLAIM

    def record(self) -> dict[str, int]:
        """As raw data."""
        return asdict(self) | {"gas_per_job": self.gas_per_job}


def largest(lanes: int, operators: int) -> Shape:
    """The most jobs whose settlement is a transaction that nodes pass on."""
    row, bit = 40, 1 / 8
    head = 2 + 4 * operators + lanes * 146
    return Shape(int((MOST_TRANSACTION_BYTES - ENVELOPE_BYTES - head - 1) / (row + bit)), lanes, operators)


class Epochs:
    """Lanes and operators that were at work before, and what their next epochs cost."""

    def __init__(self, network: Network, lanes: int, operators: int) -> None:
        self._network, self._epoch = network, 0
        self._requesters = [f"requester {i}" for i in range(lanes)]
        self._owners = [f"owner {i}" for i in range(operators)]
        chain = network.chain
        network.fund(self._owners)
        register = [(name, chain.stakes.functions.register(account_of(name))) for name in self._owners]
        network.send_all(register)
        self._ids = [int(chain.stakes.functions.operatorIdOf(account_of(name)).call()) for name in self._owners]
        deposits = [chain.escrow.functions.deposit(account_of(r), account_of(r), 10**15) for r in self._requesters]
        network.send_all([("deployer", deposit) for deposit in deposits])
        self._settle(self._draft(max(lanes, operators), lanes, operators))
        self._claim(self._ids)
        network.wait(CONSTANTS.charge_window_s * 2)

    def measure(self, shape: Shape) -> Measured:
        """One epoch of this shape; the chain is put back."""
        epoch_id = self._epoch
        with self._network.put_back():
            draft = self._draft(*asdict(shape).values())
            post, settle = self._settle(draft)
            claim = self._claim(self._ids[:1])[0]
        self._epoch = epoch_id
        return Measured(
            **asdict(shape), packed_bytes=len(pack(draft)), post_gas=post, settle_gas=settle, claim_gas=claim
        )

    def _settle(self, draft: Epoch) -> tuple[int, int]:
        """Posts, reveals with an empty epoch, settles. Gas of post and settlement."""
        network, escrow = self._network, self._network.chain.escrow.functions
        post = self._post(merkle_root([row.leaf() for row in draft.rows]), len(draft.rows))
        settled = self._epoch
        self._post(bytes(32), 0)
        network.wait(CONSTANTS.check_wait_s + 1)
        return post, network.send("settler", escrow.settleEpoch(settled, pack(draft)))

    def _post(self, root: bytes, count: int) -> int:
        network = self._network
        network.mine(CONSTANTS.seed_blocks + 1)
        self._epoch += 1
        value, log_root = network.beacon.value(self._epoch), keccak(b"log") if count else bytes(32)
        return network.send(
            "settler", network.chain.escrow.functions.postEpoch(self._epoch, root, count, value, log_root)
        )

    def _claim(self, operator_ids: Sequence[int]) -> list[int]:
        claim = self._network.chain.escrow.functions.claim
        return self._network.send_all([("deployer", claim(operator_id)) for operator_id in operator_ids])

    def _draft(self, jobs: int, lanes: int, operators: int) -> Epoch:
        groups, job = [], 0
        for lane, name in enumerate(self._requesters[:lanes]):
            rows = []
            for _ in range((jobs + lanes - 1 - lane) // lanes):
                digest = keccak(b"digest" + (self._epoch << 32 | job).to_bytes(8, "big"))
                amount = 1 + int.from_bytes(digest[-4:], "big")
                requester = account_of(name).lower()
                rows.append(Row(requester, requester, self._ids[job % operators], amount, digest))
                job += 1
            groups.append(LaneGroup(rows[0].requester, rows[0].signer, self._cap(name), tuple(rows)))
        return Epoch(tuple(groups), frozenset())

    def _cap(self, name: str) -> CapProof:
        cap, terms = 10**14 * (self._epoch + 1), keccak(b"terms")
        digest = self._network.domain.digest(order_struct_hash(key_of(name).address, cap, terms))
        return CapProof(cap, terms, *compact(key_of(name).sign(digest)))
