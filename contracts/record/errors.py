"""Errors in the public record.

RecordError
├── LogUnavailable        the published log, or a blob of it, cannot be read
├── WrongLog              the published log differs from what the chain committed to
├── WrongFact             a published record is wrong: a signature, an id, a hash, an amount
├── WorkloadUnknown       no published manifest hashes to the workload that an order names
├── RowUnknown            the chain shows no charge for this row of an epoch
└── ChainMoved            the chain changed while a range of its blocks was read
"""

from contracts.protocol.errors import AssayError


class RecordError(AssayError):
    """Base."""


class LogUnavailable(RecordError):
    def __init__(self, *, what: str, source: str, why: str, way_out: str = "try another mirror of the log") -> None:
        self.what, self.source, self.why = what, source, why
        super().__init__(f"{what} cannot be read from {source}: {why}", way_out=way_out)


class WrongLog(RecordError):
    def __init__(self, *, what: str, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        message = f"{what} is {found}, the chain says {expected}"
        super().__init__(message, way_out="the log was altered, do not act on it")


class WrongFact(RecordError):
    """`rule` names the failed check, in words that fit "row 3: <rule>"."""

    def __init__(self, rule: str, *, expected: object, found: object) -> None:
        self.rule, self.expected, self.found = rule, expected, found
        super().__init__(f"{rule}: expected {expected}, found {found}")


class WorkloadUnknown(RecordError):
    def __init__(self, workload_id: str) -> None:
        message = f"no manifest of workload {workload_id} was published"
        super().__init__(message, way_out="its first epoch's log must hold it")


class RowUnknown(RecordError):
    def __init__(self, epoch_id: int, index: int, why: str) -> None:
        way_out = "check the numbers: epochs count from 1, rows from 0"
        super().__init__(f"row {index} of epoch {epoch_id}: {why}", way_out=way_out)


class ChainMoved(RecordError):
    def __init__(self, *, block_number: int) -> None:
        super().__init__(f"block {block_number} changed while it was read", way_out="read it again")
