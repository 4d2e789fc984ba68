"""The beacon's hash chain: one way, one end, one value an epoch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.protocol.hashing import keccak
from verifier.beacon.chain import BeaconChain
from verifier.errors import BeaconExhausted


@given(secret=st.binary(min_size=32, max_size=32), length=st.integers(1, 40))
def test_each_value_hashes_to_the_one_before_and_the_first_to_the_anchor(secret: bytes, length: int) -> None:
    """What the escrow checks at every post, keccak(beacon) = tip, holds along the whole chain."""
    chain = BeaconChain(secret, length)
    tip = chain.anchor
    for epoch_id in range(1, length + 1):
        assert keccak(chain.value(epoch_id)) == tip
        tip = chain.value(epoch_id)
    assert tip == secret


@pytest.mark.parametrize("epoch_id", [-1, 0, 6])
def test_there_is_no_value_outside_the_chain(epoch_id: int) -> None:
    """A chain that ran out says so instead of wrapping around."""
    with pytest.raises(BeaconExhausted, match=r"epochs 1\.\.5"):
        BeaconChain(b"\1" * 32, 5).value(epoch_id)


def test_a_chain_has_at_least_one_value() -> None:
    """A chain of no epochs would publish its secret as the anchor."""
    with pytest.raises(ValueError, match="at least one"):
        BeaconChain(b"\1" * 32, 0)
