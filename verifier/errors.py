"""Errors of verifier, auditor and beacon.

VerifierError
├── JobUnknown            no posted epoch pays an order
├── SecondAnswer          the journal has another answer to the commitment and keeps it
├── VerdictRefused        the backend refused a verdict
├── BackendUnavailable    the backend did not answer
├── BeaconTooEarly        the next beacon value may not be revealed yet
├── BeaconExhausted       the hash chain has no such value
├── WrongAnchor           a beacon's chain does not end in the escrow's anchor
├── JournalInUse          another process holds the journal
├── JournalOutdated       the journal is of another agreement
└── JournalFull           the journal's file system is full; nothing is signed until it has room
"""

from contracts.protocol.errors import AssayError


class VerifierError(AssayError):
    """Base of the verifier's errors."""


class JobUnknown(VerifierError):
    def __init__(self, order_id: str) -> None:
        super().__init__(f"no posted epoch pays order {order_id}", way_out="give the whole id, as in its receipt")


class SecondAnswer(VerifierError):
    def __init__(self, *, commitment_digest: str, journaled: str, computed: str) -> None:
        super().__init__(
            f"commitment {commitment_digest} was answered with {journaled}, now {computed} was computed",
            way_out="the first one is kept. This host's results differ from run to run: run its self-test",
        )


class VerdictRefused(VerifierError):
    def __init__(self, *, commitment_digest: str, status: int, detail: str) -> None:
        super().__init__(f"the backend refused the verdict on {commitment_digest} with {status}: {detail}")


class BackendSilent(VerifierError):
    code = "backend_unavailable"

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"no answer from {url}: {why}", way_out="the verdict stays in the journal and is sent again")


class BeaconTooEarly(VerifierError):
    """`wait_for_block`: the first block at which the value may be revealed; None when an epoch must be posted first."""

    def __init__(self, *, epoch_id: int, last_epoch: int, wait_for_block: int | None, head_block: int) -> None:
        self.wait_for_block = wait_for_block
        if wait_for_block is None:
            why = f"epoch {last_epoch} is the last posted one; post epoch {epoch_id - 1} first"
        else:
            why = (
                f"the seed block of epoch {epoch_id - 1} comes first; the head is {head_block}, ask at {wait_for_block}"
            )
        super().__init__(f"the beacon value of epoch {epoch_id} stays hidden: {why}")


class BeaconExhausted(VerifierError):
    def __init__(self, *, epoch_id: int, length: int) -> None:
        super().__init__(
            f"the chain has values for epochs 1..{length}, not for {epoch_id}", way_out="commit a new anchor"
        )


class WrongAnchor(VerifierError):
    def __init__(self, *, expected: str, found: str) -> None:
        super().__init__(
            f"this chain ends in {found}, the escrow was deployed with {expected}", way_out="use the other home"
        )


class JournalInUse(VerifierError):
    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is held by another process", way_out="stop the other verifier first: one process runs a key"
        )


class JournalOutdated(VerifierError):
    def __init__(self, *, path: str, found: int, expected: int) -> None:
        super().__init__(
            f"{path} holds answers of agreement {found}, this release is of agreement {expected}",
            way_out="let the release that wrote it finish its cases, then use another --home",
        )


class VerifierJournalFull(VerifierError):
    code = "journal_full"

    def __init__(self, path: str, why: str) -> None:
        way_out = "free space there. Until then this verifier signs nothing; then it continues by itself"
        super().__init__(f"the journal {path} cannot be written: {why}", way_out=way_out)
