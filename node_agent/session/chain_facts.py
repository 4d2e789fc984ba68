"""What a node at work reads from the chain, as a port: it takes nobody's word for who pays or what is rooted.

`OnchainFacts` reads a deployment; `node_agent.testing.FakeFacts` is the shipped fake.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.lanes import read_lane
from contracts.protocol.lane import Lane


@dataclass(frozen=True)
class RootFacts:
    """A posted epoch: its root (32 bytes), how many leaves stand under it, and when it was posted, Unix seconds."""

    root: bytes
    count: int
    posted_at_s: int = 0


class LiveFacts(Protocol):
    """Reads of the latest block. Raises ChainUnavailable when there is no answer."""

    def settler(self) -> str:
        """Whose leases count now."""
        ...

    def operator_of(self, node: str) -> int:
        """The operator that a node key belongs to; 0: none."""
        ...

    def lane(self, requester: str, signer: str) -> Lane:
        """A lane as it stands."""
        ...

    def last_epoch(self) -> int:
        """The number of the epoch posted last; 0: none."""
        ...

    def posted(self, epoch_id: int) -> RootFacts:
        """An epoch's root; a zero root where it is empty or not posted, and zero seconds where it is not posted."""
        ...


class OnchainFacts:
    """`LiveFacts` of a deployment."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def settler(self) -> str:
        """See LiveFacts."""
        return self._chain.settler()

    def operator_of(self, node: str) -> int:
        """See LiveFacts."""
        return int(call(self._chain.stakes.functions.operatorOf(to_checksum_address(node))))

    def lane(self, requester: str, signer: str) -> Lane:
        """See LiveFacts."""
        return read_lane(self._chain, requester, signer)

    def last_epoch(self) -> int:
        """See LiveFacts."""
        return int(call(self._chain.escrow.functions.lastEpoch()))

    def posted(self, epoch_id: int) -> RootFacts:
        """See LiveFacts."""
        found = call(self._chain.escrow.functions.epochs(epoch_id))
        return RootFacts(bytes(found.root), found.count, found.postedAt)


def call(function: Any) -> Any:
    """The result of a view call. Raises Reverted or ChainUnavailable."""
    return function.call()
