"""The port through which a working node reads the chain, which alone tells it who pays and what is rooted."""

from dataclasses import dataclass
from typing import Protocol

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.lanes import read_lane
from contracts.protocol.lane import Lane
from node_agent.errors import NotRegistered


@dataclass(frozen=True)
class RootFacts:
    """A posted epoch: its root (32 bytes), the number of leaves under it, and when it was posted, Unix seconds."""

    root: bytes
    count: int
    posted_at_s: int = 0


class LiveFacts(Protocol):
    """Reads of the latest block. Raises ChainUnavailable when there is no answer."""

    def settler(self) -> str:
        """The settler, whose leases count now."""

    def operator_of(self, node: str) -> int:
        """The operator that a node key belongs to; 0: none."""

    def lane(self, requester: str, signer: str) -> Lane:
        """A lane's present state."""

    def last_epoch(self) -> int:
        """The number of the epoch posted last; 0: none."""

    def posted(self, epoch_id: int) -> RootFacts:
        """An epoch's root; a zero root where it is empty or not posted, and zero seconds where it is not posted."""


class OnchainFacts:
    """`LiveFacts` of a deployment."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    def settler(self) -> str:
        return self._chain.settler()

    def operator_of(self, node: str) -> int:
        return int(self._chain.stakes.functions.operatorOf(to_checksum_address(node)).call())

    def lane(self, requester: str, signer: str) -> Lane:
        return read_lane(self._chain, requester, signer)

    def last_epoch(self) -> int:
        return int(self._chain.escrow.functions.lastEpoch().call())

    def posted(self, epoch_id: int) -> RootFacts:
        found = self._chain.escrow.functions.epochs(epoch_id).call()
        return RootFacts(bytes(found.root), found.count, found.postedAt)


def require_registered(operator_id: int, node: str) -> int:
    """The operator of a node key; 0 stands for none. Raises NotRegistered."""
    if operator_id == 0:
        says = f"{node} is no operator's node key on this deployment, or was revoked."
        way_out = "Run `assay node init` first. A revoked key cannot be used again: give another --home."
        raise NotRegistered(says, way_out=way_out, node=node)
    return operator_id
