"""Rulings from stake, against SPEC section 8 said in another way."""

from hypothesis import given
from hypothesis import strategies as st

from contracts.protocol.rulings import OpenedAnswer, Ruling, rule

wrong = st.builds(OpenedAnswer, stake_units=st.integers(1, 40), openers=st.integers(1, 3), agrees=st.just(False))


@given(
    others=st.lists(wrong, max_size=3),
    node=st.none() | st.integers(1, 40),
    silent=st.integers(0, 100),
    appealed=st.booleans(),
)
def test_more_than_half_of_all_stake_decides(
    others: list[OpenedAnswer], node: int | None, silent: int, appealed: bool
) -> None:
    """A minority convicts nobody whom it cannot outvote, unless nobody objects at all. Covers: A04, A12, A60"""
    opened = others if node is None else [*others, OpenedAnswer(node, 1, agrees=True)]
    active = sum(each.stake_units for each in opened) + silent
    ruling, upheld = rule(opened, active, appealed=appealed)
    majority = [each for each in opened if each.stake_units > active - each.stake_units]
    unopposed = not appealed and len(opened) == 1 and not opened[0].agrees and opened[0].openers > 1
    if majority:
        assert upheld is not None
        assert opened[upheld] == majority[0]
        assert ruling is (Ruling.NODE_UPHELD if majority[0].agrees else Ruling.NODE_GUILTY)
    elif unopposed:
        assert (ruling, upheld) == (Ruling.NODE_GUILTY, 0)
    else:
        assert (ruling, upheld) == (Ruling.DISMISSED, None)
