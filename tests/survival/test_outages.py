"""The chain reorganised, gone, or deaf, under a network of real processes at work."""

import time
from collections.abc import Iterator

import pytest

from node_agent.session.backend_api import LONGEST_PAUSE_S
from tests.survival.programs import LONGEST_WAIT_S
from tests.survival.whole_network import LEASE_S, REQUESTERS, WRITERS, WholeNetwork, whole_network
from tests.world.soak import short_or_long

pytestmark = [pytest.mark.chain, pytest.mark.timeout(900)]

OUTAGE_S = short_or_long(max(LEASE_S, LONGEST_PAUSE_S, LONGEST_WAIT_S) + 4.0, 60.0)
"""For how long the chain is away: longer than a lease lasts, and than anybody waits before another try."""
MOST_LINES = 3
"""A node says it three times: its backend, its own endpoint, and its watch on cases have no chain."""


@pytest.fixture(scope="module")
def one_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeNetwork]:
    """One network for all tests here: a later one finds what an earlier one left."""
    with whole_network(tmp_path_factory.mktemp("network")) as made:
        yield made


@pytest.fixture
def place(one_network: WholeNetwork) -> WholeNetwork:
    """The network, at work."""
    one_network.start_all()
    return one_network


def test_a_reorg_of_five_blocks_between_post_and_settle(place: WholeNetwork) -> None:
    """The blocks that hold an epoch's post go, and Anvil forgets its transactions: it is posted again under the same
    root, settled once and paid; ledger = contract = log.

    Covers: A16, A41, A42
    """
    orders = {place.order(name, f"say {number} to {name}") for name in REQUESTERS for number in range(3)}
    escrow, before = place.chain.escrow.functions, last_epoch(place)
    place.wait_for(lambda: last_epoch(place) > before)
    first = escrow.epochs(before + 1).call()
    assert place.chain.head().number - first.postedBlock < 5, "the post lies within the last five blocks"
    place.rpc("anvil_reorg", 5, [])
    assert last_epoch(place) == before, "the post is gone"
    place.wait_for(lambda: last_epoch(place) > before and place.at_rest())
    again = escrow.epochs(before + 1).call()
    assert (again.root, again.count) == (first.root, first.count)
    assert orders <= place.check().paid
    assert "reorg: back from block" in place.children["worker"].log_text()


def test_the_chain_is_gone_for_a_while(place: WholeNetwork) -> None:
    """Connections are refused while jobs are ordered, run, rooted and settled: every process lives on, says so in a
    line or two and not in a flood, answers 503, and goes on by itself. Nothing is doubled.

    Covers: A43, A44
    """
    orders = {place.order("alice", f"say {number}") for number in range(3)}
    posted = last_epoch(place)
    place.wait_for(lambda: last_epoch(place) > posted)
    orders |= {place.order("bob", f"say {number} again") for number in range(3)}
    before = {name: len(place.children[name].log_text().splitlines()) for name in WRITERS}
    place.proxy.stop()
    time.sleep(OUTAGE_S)
    during = {name: place.children[name].log_text().splitlines()[before[name] :] for name in WRITERS}
    place.proxy.start()
    for name, lines in during.items():
        assert place.children[name].alive, lines
        complaints = [line for line in lines if " ERROR " in line or " WARNING " in line or "Traceback" in line]
        assert len(complaints) <= MOST_LINES, f"{name} floods its log:\n" + "\n".join(complaints)
    assert any("unavailable" in line.lower() for line in during["worker"])
    orders.add(place.order("alice", "say that it is back"))
    place.wait_for(place.at_rest)
    assert orders <= place.check().paid


def test_replies_are_lost_after_the_node_accepted(place: WholeNetwork) -> None:
    """Replies to sent transactions are lost on their way back: each transaction happens once, under the hash that was
    written down before.

    Covers: A43
    """
    place.proxy.lose_replies = 3
    orders = {place.order(name, f"say {number} to {name}") for name in REQUESTERS for number in range(2)}
    place.wait_for(lambda: place.proxy.lost >= 3 and place.at_rest())
    assert orders <= place.check().paid


def last_epoch(place: WholeNetwork) -> int:
    """The epoch posted last, by the chain."""
    return int(place.chain.escrow.functions.lastEpoch().call())
