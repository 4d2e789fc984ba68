"""The chain as this verifier has read it: its past, and its head. Follows reorgs by reading again from the start."""

from contracts.onchain.chain import Chain
from contracts.onchain.events import Block
from contracts.onchain.history import History

_DATED = ("EpochPosted", "EpochSettled")


class ChainView:
    """`history` up to `head`. `generation` grows when a reorg undid what was read: forget what followed from it."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self.history = History()
        self.head: Block | None = None
        self.generation = 0

    def refresh(self) -> Block:
        """Reads what is new and returns the head. Raises ChainError."""
        head = self._chain.head()
        if self.head is not None and not self._stands(self.head, head):
            self.history, self.head = History(), None
            self.generation += 1
        first = self.head.number + 1 if self.head else self._chain.deployment.first_block
        if head.number >= first:
            events = self._chain.events(first, head.number)
            dated = sorted({event.block_number for event in events if event.name in _DATED})
            self.history.add(events, {number: self._chain.block(number).timestamp for number in dated})
        self.head = head
        return head

    def _stands(self, seen: Block, head: Block) -> bool:
        return seen.number <= head.number and self._chain.block(seen.number).hash == seen.hash
