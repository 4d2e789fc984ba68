"""What the coordinator asks the chain when somebody calls: lanes, stakes, keys, rulings. A port, its adapter, its fake.

Lanes are read afresh, since money is decided on them; keys and stakes may be a second old.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast

from eth_utils.address import to_checksum_address

from backend.chain.escrow_reads import Holding, holdings
from contracts.onchain.chain import Chain
from contracts.onchain.contract import ContractCall
from contracts.onchain.lanes import read_lane
from contracts.protocol.hashing import from_hex, keccak
from contracts.protocol.lane import Lane
from contracts.protocol.rulings import Ruling

T = TypeVar("T")


@dataclass(frozen=True)
class OperatorAccount:
    """An operator's money on chain, units."""

    stake: int = 0
    locked: int = 0
    earned: int = 0
    claimed: int = 0


@dataclass(frozen=True)
class Token:
    """How the token counts and is called."""

    decimals: int = 18
    symbol: str = ""


class ChainView(Protocol):
    """The questions. Addresses are lower-case hex."""

    def lane(self, requester: str, signer: str) -> Lane:
        """The lane as of the latest block; all zero when nothing ever happened in it."""
        ...

    def operator_of(self, node: str) -> int:
        """The operator whose node key this is, or 0."""
        ...

    def operator(self, operator_id: int) -> OperatorAccount:
        """An operator's stake and credit."""
        ...

    def active_verifier(self, key: str) -> int:
        """The account of an admitted verifier with enough stake whose current key this is, or 0."""
        ...

    def is_guilty(self, case_id: str) -> bool:
        """Whether the court's ruling on a case is known and against the node."""
        ...

    def block_hash(self, number: int) -> bytes:
        """The hash of a block, 32 bytes."""
        ...

    def holdings(self, block_number: int) -> list[Holding]:
        """What each contract held at a block, and what it says it owes."""
        ...

    def token(self) -> Token:
        """The deployment's token."""
        ...


class OnChainView:
    """ChainView over the deployed contracts. Raises ChainUnavailable when the endpoint does not answer."""

    def __init__(self, chain: Chain, *, keep_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._kept = _Kept(keep_s, clock)

    def lane(self, requester: str, signer: str) -> Lane:
        return read_lane(self._chain, requester, signer)

    def operator_of(self, node: str) -> int:
        function = self._chain.stakes.functions.operatorOf(_address(node))
        return self._kept.get(("operator_of", node), lambda: int(_call(function)))

    def operator(self, operator_id: int) -> OperatorAccount:
        return self._kept.get(("operator", operator_id), lambda: self._read_operator(operator_id))

    def _read_operator(self, operator_id: int) -> OperatorAccount:
        account = _struct(self._chain.stakes.functions.operators(operator_id))
        credit = _struct(self._chain.escrow.functions.operators(operator_id))
        return OperatorAccount(
            stake=account["stakeUnits"],
            locked=account["lockedUnits"],
            earned=credit["earnedUnits"],
            claimed=credit["claimedUnits"],
        )

    def active_verifier(self, key: str) -> int:
        return self._kept.get(("verifier", key), lambda: self._read_verifier(key))

    def _read_verifier(self, key: str) -> int:
        account_id = int(_call(self._chain.stakes.functions.verifierOf(_address(key))))
        if account_id == 0:
            return 0
        account = _struct(self._chain.stakes.functions.operators(account_id))
        enough = account["stakeUnits"] >= self._chain.deployment.constants.min_verifier_stake_units
        active = account["isVerifier"] and enough and account["verifierKey"].lower() == key
        return account_id if active else 0

    def is_guilty(self, case_id: str) -> bool:
        function = self._chain.court.functions.ruling(from_hex(case_id))
        return self._kept.get(("ruling", case_id), lambda: int(_call(function)) == Ruling.NODE_GUILTY)

    def block_hash(self, number: int) -> bytes:
        return self._chain.block(number).hash

    def holdings(self, block_number: int) -> list[Holding]:
        return holdings(self._chain, block_number)

    def token(self) -> Token:
        functions = self._chain.token.functions
        return self._kept.get("token", lambda: Token(int(_call(functions.decimals())), str(_call(functions.symbol()))))


@dataclass
class FakeChainView:
    """ChainView over dictionaries, for tests and for running the API without a chain."""

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


class _Kept:
    """Answers kept for a moment. Threads that miss at once each ask the chain."""

    def __init__(self, keep_s: float, clock: Callable[[], float]) -> None:
        self._keep_s, self._clock = keep_s, clock
        self._answers: dict[Any, tuple[float, Any]] = {}
        self._lock = threading.Lock()

    def get(self, key: Any, ask: Callable[[], T]) -> T:
        now = self._clock()
        with self._lock:
            kept = self._answers.get(key)
        if kept is not None and now - kept[0] < self._keep_s:
            return cast(T, kept[1])  # kept under the same key by the same question
        fresh = ask()
        with self._lock:
            self._answers = {k: kept for k, kept in self._answers.items() if now - kept[0] < self._keep_s}
            self._answers[key] = (now, fresh)
        return fresh


def _address(address: str) -> str:
    return to_checksum_address(address)


def _call(function: ContractCall) -> Any:
    return function.call()


def _struct(function: ContractCall) -> dict[str, Any]:
    """A call's one struct by the ABI's field names."""
    names = [part["name"] for part in function.abi["outputs"][0]["components"]]
    return dict(zip(names, _call(function), strict=True))
