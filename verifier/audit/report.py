"""The faults that an audit finds, and its report."""

from collections.abc import Iterator
from contextlib import contextmanager

from contracts.protocol.errors import ProtocolError
from contracts.protocol.hashing import to_hex
from contracts.protocol.records import Record
from contracts.record.errors import RecordError, WrongFact

_NOWHERE = 2**64


class Fault(Record):
    """One broken rule. `epoch_id` is null if it concerns no epoch, `row` if it concerns no single row."""

    epoch_id: int | None
    row: int | None
    rule: str
    expected: str
    found: str

    @property
    def where(self) -> str:
        if self.epoch_id is None:
            return "the books"
        return f"epoch {self.epoch_id}" + ("" if self.row is None else f" row {self.row}")

    def __str__(self) -> str:
        return f"{self.where}: {self.rule}: expected {self.expected}, found {self.found}"


class AuditReport(Record):
    """`ok` iff there are no faults. `unexplained_wei`: tokens held minus what the books explain; may be negative.

    `payments_recomputed` counts rows whose debit and credit were recomputed. `faults` are ordered by epoch and row.
    """

    ok: bool
    head_block: int
    epochs: int
    rows: int
    rows_sampled: int
    payments_recomputed: int
    charged_units: int
    void_rows: int
    skipped_rows: int
    cases: int
    contests: int
    refunded_units: int
    held_wei: int
    donated_wei: int
    unexplained_wei: int
    faults: list[Fault]

    @property
    def first_fault(self) -> Fault | None:
        return self.faults[0] if self.faults else None


class Findings:
    """Collects faults. Checks continue after a fault: the first one found may not be the first in order."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def expect(
        self, rule: str, expected: object, found: object, *, epoch: int | None = None, row: int | None = None
    ) -> bool:
        """Notes a fault unless both are equal. Returns whether they are."""
        if expected != found:
            self._faults.append(Fault(epoch_id=epoch, row=row, rule=rule, expected=_show(expected), found=_show(found)))
        return expected == found

    @contextmanager
    def watching(self, *, epoch: int, row: int | None = None) -> Iterator[None]:
        """Notes the error of a check in this block as a fault at this place."""
        try:
            yield
        except WrongFact as error:
            self.expect(error.rule, error.expected, error.found, epoch=epoch, row=row)
        except (RecordError, ProtocolError) as error:
            self.expect(error.code, "no error", str(error), epoch=epoch, row=row)

    def ordered(self) -> list[Fault]:
        """By epoch and row; faults of a whole epoch after its rows, those of no epoch last."""
        return sorted(
            self._faults, key=lambda f: tuple(_NOWHERE if place is None else place for place in (f.epoch_id, f.row))
        )


def _show(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)
