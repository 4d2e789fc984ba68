"""Amounts at the command line are exact."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.protocol.amounts import TokenScale, amount_or_all, amount_or_zero, positive_amount
from contracts.protocol.errors import BadAmount

EIGHTEEN, SIX = TokenScale(18, 10**9, "ADEV"), TokenScale(6, 1)


@pytest.mark.parametrize(
    ("scale", "text", "units"),
    [
        (EIGHTEEN, "1", 10**9),
        (EIGHTEEN, "1.5", 1_500_000_000),
        (EIGHTEEN, "0.000000001", 1),
        (EIGHTEEN, "1.500000000000000000", 1_500_000_000),
        (EIGHTEEN, " 2 ", 2 * 10**9),
        (SIX, "0.000001", 1),
        (SIX, "18446744073709.551615", 2**64 - 1),
    ],
)
def test_parse(scale: TokenScale, text: str, units: int) -> None:
    """Protects what people type from any rounding."""
    assert scale.parse(text) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".5",
        "1.",
        "-1",
        "+1",
        "1e9",
        "NaN",
        "inf",
        "1,5",
        "1_000",
        "0x10",
        "0.0000000001",
        "18446744074",
        f"1.{1:019}",
        "0",
        "0.0",
        "-5",
    ],
)
def test_refuse(text: str) -> None:
    """Protects people from amounts that would have to be guessed or rounded."""
    with pytest.raises(BadAmount):
        EIGHTEEN.parse(text)


@given(st.integers(1, 2**64 - 1), st.sampled_from([TokenScale(18, 10**9), SIX]))
def test_what_is_shown_parses_back(units: int, scale: TokenScale) -> None:
    """Protects people who copy what they read."""
    assert scale.parse(scale.show(units)) == units


@pytest.mark.parametrize("text", ["0", "0.00", "-0", "-5", "-0.000001", "-1.5", "five", "", "1e9", "NaN"])
def test_options_refuse_zero_and_less_before_anything_happens(text: str) -> None:
    """Protects gas: the words name the value, and come from the text alone, before a chain is asked for a scale."""
    with pytest.raises(BadAmount, match=f"^{text!r} is "):
        positive_amount(text)
    with pytest.raises(BadAmount):
        amount_or_all(text)


def test_options_take_what_may_be_moved() -> None:
    """`all` empties a lane; a stake may be brought up to 0, not below."""
    assert [positive_amount(None), positive_amount("0.1"), amount_or_all("all"), amount_or_all("2")] == [
        None, "0.1", "all", "2",
    ]  # fmt: skip
    assert amount_or_zero("0") == "0"
    with pytest.raises(BadAmount, match="'-1' is not at least 0"):
        amount_or_zero("-1")
