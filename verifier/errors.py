"""What can go wrong for those who check.

VerifierError
├── LogUnavailable        the published log, or a blob of it, cannot be read
├── WrongLog              what was published is not what the chain committed to
├── WrongFact             a published record that does not hold: a signature, an id, a hash, an amount
├── WorkloadUnknown       no published manifest hashes to the workload that an order names
├── JobUnknown            no posted epoch pays an order
├── SecondAnswer          the journal holds another answer to the same commitment; it is never replaced
├── VerdictRefused        the backend refused a verdict
├── BackendUnavailable    the backend did not answer
├── BeaconTooEarly        the next beacon value may not be shown yet
├── BeaconExhausted       the hash chain has no such value
├── WrongAnchor           a beacon's chain does not end where the escrow's begins
├── JournalInUse          another process holds the journal
└── JournalFull           the journal's file system has no room; nothing is signed until it has
"""


class VerifierError(Exception):
    """Base. `code` is for machines; the message names the value and the way out."""

    code = "verifier_error"


class LogUnavailable(VerifierError):
    code = "log_unavailable"

    def __init__(self, *, what: str, source: str, why: str) -> None:
        super().__init__(f"{what} cannot be read from {source}: {why}; try another mirror of the log")


class WrongLog(VerifierError):
    code = "wrong_log"

    def __init__(self, *, what: str, expected: str, found: str) -> None:
        self.expected, self.found = expected, found
        super().__init__(f"{what} is {found}, the chain says {expected}; the log was altered, do not act on it")


class WrongFact(VerifierError):
    """`rule` names the check that failed, in words that fit "row 3: <rule>"."""

    code = "wrong_fact"

    def __init__(self, rule: str, *, expected: object, found: object) -> None:
        self.rule, self.expected, self.found = rule, expected, found
        super().__init__(f"{rule}: expected {expected}, found {found}")


class WorkloadUnknown(VerifierError):
    code = "workload_unknown"

    def __init__(self, workload_id: str) -> None:
        super().__init__(f"no manifest of workload {workload_id} was published; its first epoch's log must hold it")


class JobUnknown(VerifierError):
    code = "job_unknown"

    def __init__(self, order_id: str) -> None:
        super().__init__(f"no posted epoch pays order {order_id}; give the whole id, as its receipt has it")


class SecondAnswer(VerifierError):
    code = "second_answer"

    def __init__(self, *, commitment_digest: str, journaled: str, computed: str) -> None:
        super().__init__(
            f"commitment {commitment_digest} was answered with {journaled}, now {computed} was computed; "
            "the first stands. This host does not repeat itself: run its self-test"
        )


class VerdictRefused(VerifierError):
    code = "verdict_refused"

    def __init__(self, *, commitment_digest: str, status: int, detail: str) -> None:
        super().__init__(f"the backend refused the verdict on {commitment_digest} with {status}: {detail}")


class BackendUnavailable(VerifierError):
    code = "backend_unavailable"

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"no answer from {url}: {why}; the verdict stays in the journal and is sent again")


class BeaconTooEarly(VerifierError):
    """`wait_for_block`: the first block at which the value may be shown; None when an epoch must be posted first."""

    code = "beacon_too_early"

    def __init__(self, *, epoch_id: int, last_epoch: int, wait_for_block: int | None, head_block: int) -> None:
        self.wait_for_block = wait_for_block
        if wait_for_block is None:
            why = f"epoch {last_epoch} is the last posted one; post epoch {epoch_id - 1} first"
        else:
            why = f"the seed block of epoch {epoch_id - 1} comes first; head is {head_block}, ask at {wait_for_block}"
        super().__init__(f"the beacon value of epoch {epoch_id} stays hidden: {why}")


class BeaconExhausted(VerifierError):
    code = "beacon_exhausted"

    def __init__(self, *, epoch_id: int, length: int) -> None:
        super().__init__(f"the chain has values for epochs 1..{length}, not for {epoch_id}; commit a new anchor")


class WrongAnchor(VerifierError):
    code = "wrong_anchor"

    def __init__(self, *, expected: str, found: str) -> None:
        super().__init__(f"this chain ends in {found}, the escrow was deployed with {expected}; use the other home")


class JournalInUse(VerifierError):
    code = "journal_in_use"

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} is held by another process; one verifier runs a key, stop the other first")


class JournalFull(VerifierError):
    code = "journal_full"

    def __init__(self, path: str, why: str) -> None:
        super().__init__(
            f"the journal {path} cannot be written: {why}; free space there. Until then this verifier signs nothing, "
            "then it goes on by itself"
        )
