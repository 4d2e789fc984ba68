"""Lines of the published log (SPEC section 11): strict schemas, canonical bytes, root."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from contracts.protocol.canonical import canonical_json
from contracts.protocol.errors import NotCanonical, UnknownLogEntry
from contracts.protocol.hashing import from_hex, keccak
from contracts.protocol.merkle import Row, merkle_root
from contracts.protocol.records import (
    Address,
    Bytes32,
    Commitment,
    Lease,
    Opening,
    Order,
    Record,
    Signature,
    Uint32,
    Units64,
    Verdict,
)  # fmt: skip


class WorkloadEntry(Record):
    """A manifest, in the first epoch that uses it."""

    kind: Literal["workload"] = "workload"
    manifest: dict[str, Any]


class OrderEntry(Record):
    """An order. Its texts and packed prompts are among the blobs."""

    kind: Literal["order"] = "order"
    order: Order
    signer: Address
    signature: Signature


class LeaseEntry(Record):
    """A lease, signed by the settler."""

    kind: Literal["lease"] = "lease"
    lease: Lease
    signature: Signature


class CommitmentEntry(Record):
    """A node's commitment. The packed output is among the blobs, under its root."""

    kind: Literal["commitment"] = "commitment"
    commitment: Commitment
    signature: Signature


class VerdictEntry(Record):
    """A verdict on a row of `epoch_id`. `opening` is null if it did not match and went to the court."""

    kind: Literal["verdict"] = "verdict"
    epoch_id: Units64
    verdict: Verdict
    signature: Signature
    opening: Opening | None


class ObservationEntry(Record):
    """The basis of a verdict on native work: `observation` names a blob."""

    kind: Literal["observation"] = "observation"
    verdict_digest: Bytes32
    observation: Bytes32


class TraceEntry(Record):
    """A commitment's trace as its node has shown it: `trace` names a blob."""

    kind: Literal["trace"] = "trace"
    commitment_digest: Bytes32
    trace: Bytes32


class RowEntry(Record):
    """A leaf of the epoch."""

    kind: Literal["row"] = "row"
    index: Uint32
    requester: Address
    signer: Address
    operator_id: Uint32
    amount_units: Units64
    digest: Bytes32

    def row(self) -> Row:
        return Row(self.requester, self.signer, self.operator_id, self.amount_units, from_hex(self.digest))


LogEntry = Annotated[
    WorkloadEntry | OrderEntry | LeaseEntry | CommitmentEntry | VerdictEntry | ObservationEntry | TraceEntry | RowEntry,
    Field(discriminator="kind"),
]
_ADAPTER: TypeAdapter[LogEntry] = TypeAdapter(LogEntry)


def dump_line(entry: LogEntry) -> bytes:
    """The canonical bytes of one line, without the line feed."""
    return canonical_json(entry.model_dump(mode="json"))


def parse_line(line: bytes) -> LogEntry:
    """The entry of a line. Raises UnknownLogEntry, or NotCanonical for another spelling than the canonical one."""
    try:
        value = from_json(line)  # not `json`, whose recursion over nested input can end the process
        entry = _ADAPTER.validate_python(value)
    except (ValueError, ValidationError) as error:
        raise UnknownLogEntry(f"{line[:60]!r}: {error}") from error
    if dump_line(entry) != line:
        raise NotCanonical(path="$", value=repr(line[:60]), why="is not the canonical spelling of its entry")
    return entry


def log_root(lines: Sequence[bytes]) -> bytes:
    """`logRoot` of an epoch's lines."""
    return merkle_root([keccak(line) for line in lines])
