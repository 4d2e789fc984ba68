"""The ports of the backend without a chain and without a beacon."""

from dataclasses import dataclass, field

from backend.chain.escrow_reads import Holding
from backend.chain.views import OperatorAccount, Token
from contracts.protocol.hashing import keccak
from contracts.protocol.lane import Lane


class FakeBeacon:
    """Beacon over a list: the value of epoch n is `values[n - 1]`."""

    def __init__(self, values: list[bytes]) -> None:
        self._values = values

    def value(self, epoch_id: int) -> bytes:
        return self._values[epoch_id - 1]


@dataclass
class FakeChainView:
    """ChainView over dictionaries."""

    lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    operators: dict[int, OperatorAccount] = field(default_factory=dict)
    verifiers: dict[str, int] = field(default_factory=dict)
    guilty_cases: set[str] = field(default_factory=set)
    held: list[Holding] = field(default_factory=list)

    def lane(self, requester: str, signer: str) -> Lane:
        return self.lanes.get((requester, signer), Lane())

    def operator_of(self, node: str) -> int:
        return self.nodes.get(node, 0)

    def operator(self, operator_id: int) -> OperatorAccount:
        return self.operators.get(operator_id, OperatorAccount())

    def active_verifier(self, key: str) -> int:
        return self.verifiers.get(key, 0)

    def is_guilty(self, case_id: str) -> bool:
        return case_id in self.guilty_cases

    def block_hash(self, number: int) -> bytes:
        return keccak(number.to_bytes(32, "big"))

    def holdings(self, block_number: int) -> list[Holding]:
        return self.held

    def token(self) -> Token:
        return Token()
