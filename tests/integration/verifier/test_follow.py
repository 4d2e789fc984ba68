"""The verifier's view of a chain that changes its mind."""

from contracts.record.follow import Follower
from tests.integration.verifier.network import Network


def test_what_a_reorg_undid_is_forgotten(network: Network) -> None:
    """After a reorg the view holds what the chain holds, and says that it started over."""
    view = Follower(network.chain)
    snapshot = network.rpc("evm_snapshot")
    network.post([network.job("one")])
    view.refresh()
    assert sorted(view.history.epochs) == [1]
    network.rpc("evm_revert", snapshot)
    network.mine(8)
    view.refresh()
    assert (view.generation, sorted(view.history.epochs)) == (1, [])
    assert view.history.owners, "what stands on both chains is read again"


def test_new_blocks_are_read_once(network: Network) -> None:
    """A second look at the same head reads nothing twice."""
    view = Follower(network.chain)
    view.refresh()
    events = len(view.history.events)
    view.refresh()
    network.post([network.job("one")])
    view.refresh()
    assert (view.generation, len(view.history.events)) == (0, events + 1)
