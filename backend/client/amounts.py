"""Token amounts as people write them, to units and back, exactly."""

import re
from dataclasses import dataclass

from backend.client.errors import BadAmount
from contracts.protocol.records import U64

_PLAIN = re.compile(r"(\d+)(?:\.(\d+))?")


@dataclass(frozen=True)
class TokenScale:
    """How a token counts: `decimals` of one token, and `unit_wei` base units in one unit."""

    decimals: int
    unit_wei: int
    symbol: str = ""

    def parse(self, text: str) -> int:
        """Units of an amount in tokens, e.g. "1.5". Raises BadAmount rather than rounding."""
        match = _PLAIN.fullmatch(text.strip())
        if match is None:
            raise BadAmount(text=text, why="is no amount of tokens; write digits with at most one point, e.g. 1.5")
        whole, fraction = match[1], (match[2] or "").rstrip("0")
        if len(fraction) > self.decimals:
            raise BadAmount(text=text, why=f"has more than the token's {self.decimals} decimals")
        wei = int(whole + fraction.ljust(self.decimals, "0"))
        units, rest = divmod(wei, self.unit_wei)
        if rest:
            raise BadAmount(text=text, why=f"is no whole number of units; one unit is {self.unit_wei} base units")
        if units > U64:
            raise BadAmount(text=text, why="is more than an account can hold")
        return units

    def show(self, units: int) -> str:
        """An amount of units in tokens, exactly."""
        whole, fraction = divmod(units * self.unit_wei, 10**self.decimals)
        digits = str(fraction).rjust(self.decimals, "0").rstrip("0")
        return f"{whole}{'.' + digits if digits else ''}{' ' + self.symbol if self.symbol else ''}"
