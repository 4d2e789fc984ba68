"""What a node at work reads from the chain, as a port: it takes nobody's word for who pays or what is rooted.

`OnchainFacts` reads a deployment; `node_agent.testing.FakeFacts` is the shipped fake.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain


@dataclass(frozen=True)
class LaneFacts:
    """A lane's slot: units, and Unix seconds (0: not set)."""

    balance_units: int
    charged_units: int
    cap_proven_units: int
    notice_at_s: int
    expiry_s: int


@dataclass(frozen=True)
class RootFacts:
    """A posted epoch: its root (32 bytes), how many leaves stand under it, and when it was posted, Unix seconds."""

    root: bytes
    count: int
    posted_at_s: int = 0


class ChainFacts(Protocol):
    """Reads of the latest block. Raises ChainUnavailable when there is no answer."""

    def settler(self) -> str:
        """Whose leases count now."""
        ...

    def operator_of(self, node: str) -> int:
        """The operator that a node key belongs to; 0: none."""
        ...

    def lane(self, requester: str, signer: str) -> LaneFacts:
        """A lane as it stands."""
        ...

    def last_epoch(self) -> int:
        """The number of the epoch posted last; 0: none."""
        ...

    def posted(self, epoch_id: int) -> RootFacts:
        """An epoch's root; a zero root where it is empty or not posted, and zero seconds where it is not posted."""
        ...


class OnchainFacts:
    """`ChainFacts` of a deployment."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def settler(self) -> str:
        """See ChainFacts."""
        return self._chain.settler()

    def operator_of(self, node: str) -> int:
        """See ChainFacts."""
        return int(call(self._chain.stakes.functions.operatorOf(to_checksum_address(node))))

    def lane(self, requester: str, signer: str) -> LaneFacts:
        """See ChainFacts."""
        found = call(self._chain.escrow.functions.lanes(to_checksum_address(requester), to_checksum_address(signer)))
        return LaneFacts(found.balanceUnits, found.chargedUnits, found.capProvenUnits, found.noticeAt, found.expiry)

    def last_epoch(self) -> int:
        """See ChainFacts."""
        return int(call(self._chain.escrow.functions.lastEpoch()))

    def posted(self, epoch_id: int) -> RootFacts:
        """See ChainFacts."""
        found = call(self._chain.escrow.functions.epochs(epoch_id))
        return RootFacts(bytes(found.root), found.count, found.postedAt)


def call(function: Any) -> Any:
    """The result of a view call. Raises Reverted or ChainUnavailable."""
    return function.call()
