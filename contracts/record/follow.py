"""Follows the chain: reads new blocks, and after a reorg goes back only to where the chains part."""

from collections import deque

from contracts.onchain.chain import Chain
from contracts.onchain.events import Block, Event
from contracts.record.errors import ChainMoved
from contracts.record.history import DATED, History

_SEEN_HEADS = 256
"""Heads to remember. After a reorg deeper than all of them, reading starts at the deployment's first block."""


class Follower:
    """`history` up to `head`. `generation` grows with each reorg, after which later blocks' results may be void."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._seen: deque[Block] = deque(maxlen=_SEEN_HEADS)
        self.history = History()
        self.generation = 0

    @property
    def head(self) -> Block | None:
        """The newest block read; None before the first."""
        return self._seen[-1] if self._seen else None

    def refresh(self) -> Block:
        """Reads new blocks and returns the newest block read. Ignores an endpoint that lags behind it.

        Raises ChainError, or ChainMoved if the chain changed meanwhile. Then nothing new is kept.
        """
        head = self._chain.head()
        if self.head is not None and head.hash == self.head.hash:
            return head
        self._rewind(head)
        last = self.head
        if last is not None and last.number >= head.number:
            return last
        first = self._chain.deployment.first_block if last is None else last.number + 1
        events = self._chain.events(first, head.number)
        times = self._times(events)
        for seen in filter(None, (last, head)):
            if not self._stands(seen):  # never mix events of two chains
                raise ChainMoved(block_number=seen.number)
        self.history.add(events, times)
        self._seen.append(head)
        return head

    def _times(self, events: list[Event]) -> dict[int, int]:
        times = {}
        for number, block_hash in {
            event.block_number: event.block_hash for event in events if event.name in DATED
        }.items():
            block = self._chain.block(number)
            if block.hash != block_hash:
                raise ChainMoved(block_number=number)
            times[number] = block.timestamp
        return times

    def _rewind(self, head: Block) -> None:
        """Goes back to the newest head that is still in the chain, or to the beginning."""
        reached = [seen for seen in self._seen if seen.number <= head.number]
        if not self._seen or (reached and self._stands(reached[-1])):
            return
        while self.head is not None and (self.head.number > head.number or not self._stands(self.head)):
            self._seen.pop()
        self.history = History() if self.head is None else self.history.until(self.head.number)
        self.generation += 1

    def _stands(self, seen: Block) -> bool:
        return self._chain.block(seen.number).hash == seen.hash
