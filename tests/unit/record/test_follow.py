"""The follower on a chain that grows, lags and changes its mind, without a chain."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from contracts.onchain.events import Block, Event
from contracts.protocol.hashing import keccak
from contracts.record.errors import ChainMoved
from contracts.record.follow import Follower
from contracts.record.history import read_history

FIRST = 5


@dataclass
class FakeChain:
    """Blocks by branch name: block n of two branches differs from where they part. Counts what it is asked."""

    blocks: dict[int, str] = field(default_factory=dict)
    happened: dict[tuple[int, str], list[tuple[str, dict[str, Any]]]] = field(default_factory=dict)
    asked: list[tuple[int, int]] = field(default_factory=list)
    on_events: Any = None
    deployment: Any = field(default_factory=lambda: SimpleNamespace(first_block=FIRST))

    def grow(self, branch: str, *events: tuple[str, dict[str, Any]]) -> None:
        """One more block of a branch, with events in it."""
        number = max(self.blocks, default=FIRST - 1) + 1
        self.blocks[number] = branch
        self.happened[number, branch] = list(events)

    def reorg(self, kept: int) -> None:
        """Back to a block."""
        self.blocks = {number: branch for number, branch in self.blocks.items() if number <= kept}

    def head(self) -> Block:
        return self.block(max(self.blocks))

    def block(self, number: int) -> Block:
        return Block(number, self.hash(number), b"", 1000 + number)

    def hash(self, number: int) -> bytes:
        return keccak(f"{number} {self.blocks[number]}".encode())

    def events(self, first: int, last: int) -> list[Event]:
        self.asked.append((first, last))
        found = [
            Event("any", name, args, number, self.hash(number), b"", index)
            for number in range(first, last + 1)
            for index, (name, args) in enumerate(self.happened[number, self.blocks[number]])
        ]
        if self.on_events is not None:
            self.on_events()
        return found


def staked(units: int) -> tuple[str, dict[str, Any]]:
    return "Staked", {"id": 1, "units": units, "stakeUnits": units}


def posted(epoch_id: int) -> tuple[str, dict[str, Any]]:
    return "EpochPosted", {"id": epoch_id, "root": b"", "count": 1, "beacon": b"", "logRoot": b""}


def accused(case_id: bytes) -> tuple[str, dict[str, Any]]:
    about = {"epochId": 1, "index": 0, "operatorId": 1, "commitmentDigest": b"", "penaltyUnits": 1}
    return "CaseOpened", {"caseId": case_id, **about}


def follower(chain: Any) -> Follower:
    return Follower(chain)


def test_itReads_onlyWhatIsNew() -> None:
    """Protects whoever polls: what was read costs nothing again, and nothing is asked while the head stands."""
    chain = FakeChain()
    chain.grow("a", staked(1), posted(1))
    chain.grow("a")
    found = follower(chain)
    found.refresh()
    found.refresh()
    chain.grow("a", staked(2))
    found.refresh()
    assert chain.asked == [(5, 6), (7, 7)]
    assert found.history.stake_at(1, 7) == 2
    assert found.history.epochs[1].timestamp == 1005


def test_aReorg_costsOnlyWhatItUndid() -> None:
    """Protects verifiers: after a reorg the history is the chain's, read again from the fork, and one generation on; a
    case that is gone is gone with all that was said in it."""
    chain = FakeChain()
    chain.grow("a", staked(1), posted(1))
    found = follower(chain)
    found.refresh()
    chain.grow("a", accused(b"case"), staked(5))
    found.refresh()
    chain.grow("a", ("VerdictCommitted", {"caseId": b"case", "verifierId": 7, "answerCommit": b""}))
    found.refresh()
    assert found.history.cases[b"case"].voters == [7]
    chain.reorg(kept=5)
    chain.grow("b", staked(9))
    chain.grow("b")
    chain.grow("b")
    found.refresh()
    assert (found.generation, chain.asked[-1]) == (1, (6, 8))
    assert (found.history.cases, found.history.stake_at(1, 8)) == ({}, 9)
    assert found.history == read_history(chain, 8), "as if it had been read at once"


def test_aReorgBehindAllHeads_startsAnew() -> None:
    """Protects a verifier on a chain that was started anew: nothing of the old one is left."""
    chain = FakeChain()
    chain.grow("a", staked(1))
    found = follower(chain)
    found.refresh()
    chain.reorg(kept=4)
    chain.grow("b", staked(3))
    found.refresh()
    assert (found.generation, found.history.stake_at(1, 5), len(found.history.events)) == (1, 3, 1)


def test_anEndpointBehind_isWaitedFor() -> None:
    """Protects against a pool of endpoints: one that lags is no reorg, and takes nothing back."""
    chain = FakeChain()
    for units in (1, 2, 3):
        chain.grow("a", staked(units))
    found = follower(chain)
    chain.reorg(kept=6)
    found.refresh()
    chain.grow("a", staked(3))
    found.refresh()
    chain.reorg(kept=6)
    assert found.refresh().number == 7
    assert (found.generation, found.history.stake_at(1, 7)) == (0, 3)


def test_aChainThatMovesWhileItIsRead_isReadAgain() -> None:
    """Protects the history from events of two chains: what was read while the chain changed is not taken."""
    chain = FakeChain()
    chain.grow("a", staked(1))
    found = follower(chain)
    found.refresh()
    chain.grow("a", staked(2))

    def change_its_mind() -> None:
        chain.on_events = None
        chain.reorg(kept=5)
        chain.grow("b", staked(7))

    chain.on_events = change_its_mind
    with pytest.raises(ChainMoved):
        found.refresh()
    assert found.history.stake_at(1, 6) == 1
    found.refresh()
    assert found.history.stake_at(1, 6) == 7
