"""The report on a receipt: its checks, the payment's outcome, and both in words."""

from collections.abc import Sequence
from typing import Literal

from contracts.protocol.records import Record

Outcome = Literal["unknown", "rooted", "paid", "void", "skipped", "stranded", "paid one by one"]


class ReceiptCheck(Record):
    """One recomputed fact. `fields`: the receipt's fields that state it."""

    name: str
    fields: list[str]
    ok: bool
    expected: str
    found: str


class ReceiptReport(Record):
    """The verdict on a receipt. Amounts in units of the token.

    `outcome`: of the payment by the chain now. `refunded_units`: what came back to the lane after the charge.
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
        return next((check for check in self.checks if not check.ok), None)


class Checklist:
    """Collects checks in order."""

    def __init__(self) -> None:
        self.checks: list[ReceiptCheck] = []

    def expect(self, name: str, fields: Sequence[str], expected: object, found: object) -> bool:
        """Notes one comparison and returns whether it holds."""
        ok, shown = expected == found, {"expected": str(expected), "found": str(found)}
        self.checks.append(ReceiptCheck(name=name, fields=list(fields), ok=ok, **shown))
        return ok

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)
