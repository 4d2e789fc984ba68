"""Converts token amounts between what people write and units, exactly. Every command uses it."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from contracts.protocol.errors import BadAmount
from contracts.protocol.records import U64

_Given = TypeVar("_Given", str, int, str | None)
_PLAIN = re.compile(r"(\d+)(?:\.(\d+))?")
_SIGNED = re.compile(r"[+-]?\d+(?:\.\d+)?")
_NOT_PLAIN = "is not an amount of tokens; write digits with at most one point, e.g. 1.5"


def positive_amount(amount: _Given) -> _Given:
    """Returns a command's option unchanged, checked before the command does anything. None: not given.

    Raises BadAmount unless it is an amount above 0.
    """
    if amount is not None:
        _require(str(amount), more_than_zero=True)
    return amount


def amount_or_all(text: str) -> str:
    """An amount, or the word `all`. Raises BadAmount."""
    if text != "all":
        positive_amount(text)
    return text


def amount_or_zero(text: str | None) -> str | None:
    """An amount that may be 0. None: not given. Raises BadAmount."""
    if text is not None:
        _require(text, more_than_zero=False)
    return text


def _require(text: str, *, more_than_zero: bool) -> None:
    if _SIGNED.fullmatch(text.strip()) is None:
        raise BadAmount(text=text, why=_NOT_PLAIN)
    value = Decimal(text.strip())
    if value < 0 or (more_than_zero and value == 0):
        least = "more than 0" if more_than_zero else "at least 0"
        raise BadAmount(text=text, why=f"is not {least}; give how many tokens, e.g. 1.5")


@dataclass(frozen=True)
class TokenScale:
    """A token's `decimals`, and how many base units one unit has (`unit_wei`)."""

    decimals: int
    unit_wei: int
    symbol: str = ""

    def parse(self, text: str, *, least: int = 1) -> int:
        """The units in an amount of tokens, e.g. "1.5". Never rounds. Raises BadAmount, also below `least` units."""
        match = _PLAIN.fullmatch(text.strip())
        if match is None:
            _require(text, more_than_zero=least > 0)
            raise BadAmount(text=text, why=_NOT_PLAIN)
        whole, fraction = match[1], (match[2] or "").rstrip("0")
        if len(fraction) > self.decimals:
            raise BadAmount(text=text, why=f"has more than the token's {self.decimals} decimals")
        wei = int(whole + fraction.ljust(self.decimals, "0"))
        units, rest = divmod(wei, self.unit_wei)
        if rest:
            raise BadAmount(text=text, why=f"is not a whole number of units; one unit is {self.unit_wei} base units")
        if units > U64:
            raise BadAmount(text=text, why="is more than an account can hold")
        if units < least:
            raise BadAmount(text=text, why=f"is less than {self.show(least)}; give more")
        return units

    def show(self, units: int) -> str:
        """Units as an exact amount of tokens."""
        whole, fraction = divmod(units * self.unit_wei, 10**self.decimals)
        digits = str(fraction).rjust(self.decimals, "0").rstrip("0")
        return f"{whole}{'.' + digits if digits else ''}{' ' + self.symbol if self.symbol else ''}"
