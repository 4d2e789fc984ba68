"""The coordinator's questions to the chain during a request: lanes, stakes, keys, rulings. A port and its adapter.

Lanes are never cached, since money is decided on them; keys and stakes may be a second old.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from eth_utils.address import to_checksum_address

from backend.chain.escrow_reads import Holding, holdings, ruling
from contracts.onchain.chain import Chain, as_dict
from contracts.onchain.lanes import read_lane
from contracts.protocol.hashing import from_hex
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
    """The token's decimals and symbol."""

    decimals: int = 18
    symbol: str = ""


class ChainView(Protocol):
    """The questions. Addresses are lower-case hex. Each may raise ChainUnavailable."""

    def lane(self, requester: str, signer: str) -> Lane:
        """The lane as of the latest block; all zero if it was never used."""

    def operator_of(self, node: str) -> int:
        """The operator whose node key this is, or 0."""

    def operator(self, operator_id: int) -> OperatorAccount:
        """An operator's stake and credit."""

    def active_verifier(self, key: str) -> int:
        """The account of an admitted verifier with enough stake whose current key this is, or 0."""

    def is_guilty(self, case_id: str) -> bool:
        """Whether the court's ruling on a case is known and against the node."""

    def block_hash(self, number: int) -> bytes:
        """The hash of a block, 32 bytes."""

    def holdings(self, block_number: int) -> list[Holding]:
        """Each contract's tokens at a block, and its own account of its debts."""

    def token(self) -> Token:
        """The deployment's token."""


class OnChainView:
    """ChainView over the deployed contracts."""

    def __init__(self, chain: Chain, *, keep_s: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._chain = chain
        self._kept = _Kept(keep_s, clock)

    def lane(self, requester: str, signer: str) -> Lane:
        return read_lane(self._chain, requester, signer)

    def operator_of(self, node: str) -> int:
        call = self._chain.stakes.functions.operatorOf(to_checksum_address(node)).call
        return self._kept.get(("operator_of", node), lambda: int(call()))

    def operator(self, operator_id: int) -> OperatorAccount:
        return self._kept.get(("operator", operator_id), lambda: self._read_operator(operator_id))

    def _read_operator(self, operator_id: int) -> OperatorAccount:
        account = as_dict(self._chain.stakes.functions.operators(operator_id).call())
        credit = as_dict(self._chain.escrow.functions.operators(operator_id).call())
        return OperatorAccount(
            stake=account["stakeUnits"],
            locked=account["lockedUnits"],
            earned=credit["earnedUnits"],
            claimed=credit["claimedUnits"],
        )

    def active_verifier(self, key: str) -> int:
        return self._kept.get(("verifier", key), lambda: self._read_verifier(key))

    def _read_verifier(self, key: str) -> int:
        account_id = int(self._chain.stakes.functions.verifierOf(to_checksum_address(key)).call())
        if account_id == 0:
            return 0
        account = as_dict(self._chain.stakes.functions.operators(account_id).call())
        enough = account["stakeUnits"] >= self._chain.deployment.constants.min_verifier_stake_units
        active = account["isVerifier"] and enough and account["verifierKey"].lower() == key
        return account_id if active else 0

    def is_guilty(self, case_id: str) -> bool:
        found = self._kept.get(("ruling", case_id), lambda: ruling(self._chain, from_hex(case_id)))
        return found is Ruling.NODE_GUILTY

    def block_hash(self, number: int) -> bytes:
        return self._chain.block(number).hash

    def holdings(self, block_number: int) -> list[Holding]:
        return holdings(self._chain, block_number)

    def token(self) -> Token:
        token = self._chain.token.functions
        return self._kept.get("token", lambda: Token(token.decimals().call(), token.symbol().call()))


class _Kept:
    """Answers cached for a moment. Threads that miss at the same time each ask the chain."""

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
