"""What was found about a receipt: one check a line, the outcome of the payment, and both in words."""

from collections.abc import Sequence
from typing import Literal

from contracts.protocol.records import Record

Outcome = Literal["unknown", "rooted", "paid", "void", "skipped", "stranded", "paid one by one"]


class ReceiptCheck(Record):
    """One thing that was recomputed. `fields`: where in the receipt the value stands that it is about."""

    name: str
    fields: list[str]
    ok: bool
    expected: str
    found: str


class ReceiptReport(Record):
    """The verdict on a receipt. Amounts in units of the token.

    `outcome`: what the chain says of the payment now. `refunded_units`: what came back to the lane afterwards.
    """

    verified: bool
    checks: list[ReceiptCheck]
    outcome: Outcome
    amount_units: int
    refunded_units: int
    proves: list[str]
    does_not_prove: list[str]

    @property
    def first_fault(self) -> ReceiptCheck | None:
        """The first check that failed."""
        return next((check for check in self.checks if not check.ok), None)


class Checklist:
    """Collects checks in the order in which they are made."""

    def __init__(self) -> None:
        self.checks: list[ReceiptCheck] = []

    def expect(self, name: str, fields: Sequence[str], *, expected: object, found: object) -> bool:
        """Notes one comparison and returns whether it holds."""
        ok = expected == found
        self.checks.append(
            ReceiptCheck(name=name, fields=list(fields), ok=ok, expected=str(expected), found=str(found))
        )
        return ok

    @property
    def ok(self) -> bool:
        """Whether all hold so far."""
        return all(check.ok for check in self.checks)
