"""Errors of the backend: refused requests and faults of its set-up.

An error's branch decides its HTTP status (backend/api/problems.py). Errors that break a rule of the domain are in
backend/domain/errors.py, on the same branches.

BackendError
├── Unauthenticated              401
│   ├── WrongSigner              a signature is not the named account's
│   ├── StaleRequest             a node's request is too old or from the future
│   ├── WrongAction              a node's request is signed for another call
│   ├── UnknownNode              the key belongs to no operator
│   └── InactiveVerifier         the key belongs to no active verifier
├── NotFound                     404
│   └── UnknownBlob, UnknownWorkload, UnknownOrder, UnknownEpoch, UnknownCommitment, UnknownRow
├── Conflict                     409, the request is well-formed but does not fit the present facts
│   ├── NodeBusy, NodeElsewhere
│   ├── CanaryOff, CanaryBudgetSpent, CanaryUnfunded
│   ├── NothingDelivered, NotRooted
│   └── ContradictingCommitment, ContradictingVerdict, ContradictingTrace, NotSampled
├── NotYet                       425, the same request is acceptable later
│   └── TraceTooEarly
├── TooLarge                     413
│   └── BlobTooLarge
├── Unacceptable                 422, the same request is never acceptable
│   ├── BadBlobName, BlobHashMismatch, BlobMissing
│   ├── UnitsRefused, OutputRefused, OutputTooLong
│   ├── OpeningMismatch, OpeningDisagrees
│   └── TraceMismatch, TraceTooLong, ObservationRefused
├── StorageFull                  507, the file system or quota is full
└── Misconfigured                not over HTTP: the backend's operator set something wrong
    └── NotRecoverable           a database cannot be rebuilt from this chain and this log
"""

from contracts.protocol.errors import AssayError


class BackendError(AssayError):
    """Base of the backend's errors."""


class Unauthenticated(BackendError):
    code = "unauthenticated"


class NotFound(BackendError):
    code = "not_found"


class Conflict(BackendError):
    code = "conflict"


class NotYet(BackendError):
    code = "not_yet"


class TooLarge(BackendError):
    code = "too_large"


class Unacceptable(BackendError):
    code = "unacceptable"


class StorageFull(BackendError):
    def __init__(self, *, path: str, why: str) -> None:
        way_out = "free space there, or move the folder to a larger disk, then send the same request again"
        super().__init__(f"{path} cannot be written: {why}; nothing was changed", way_out=way_out)


class Misconfigured(BackendError):
    code = "misconfigured"


class NotRecoverable(Misconfigured):
    code = "not_recoverable"


class WrongSigner(Unauthenticated):
    def __init__(self, *, what: str, named: str, recovered: str) -> None:
        way_out = f"sign the EIP-712 digest of this {what}, in this deployment's domain, with the key of {named}"
        super().__init__(f"the {what} names {named} but its signature is {recovered}'s", way_out=way_out)


class StaleRequest(Unauthenticated):
    def __init__(self, *, timestamp: int, now_s: int, tolerance_s: int) -> None:
        super().__init__(
            f"request.timestamp = {timestamp} is more than {tolerance_s} s from this clock ({now_s})",
            way_out="set the node's clock and sign the request again",
        )


class WrongAction(Unauthenticated):
    def __init__(self, *, found: str, expected: str) -> None:
        super().__init__(
            f"request.action = {found!r} was signed for another call", way_out=f"sign it with action {expected!r}"
        )


class UnknownNode(Unauthenticated):
    def __init__(self, *, node: str) -> None:
        way_out = "the operator's owner adds a key with StakeManager.addNodeKey; a revoked key cannot be added again"
        super().__init__(f"{node} is no operator's node key, or was revoked", way_out=way_out)


class InactiveVerifier(Unauthenticated):
    def __init__(self, *, key: str) -> None:
        super().__init__(
            f"{key} is no active verifier's key", way_out="a verifier must be admitted and have the minimum stake"
        )


class UnknownBlob(NotFound):
    def __init__(self, *, name: str) -> None:
        super().__init__(f"there are no bytes under {name}", way_out=f"put them first with PUT /v1/blobs/{name}")


class UnknownWorkload(NotFound):
    def __init__(self, *, workload_id: str) -> None:
        super().__init__(f"workload {workload_id} is not offered here", way_out="GET /v1/network lists what is")


class UnknownOrder(NotFound):
    def __init__(self, *, order_id: str) -> None:
        super().__init__(f"no order {order_id} was accepted here", way_out="POST it to /v1/orders first")


class UnknownEpoch(NotFound):
    def __init__(self, *, epoch_id: int) -> None:
        super().__init__(f"epoch {epoch_id} is not closed yet", way_out="GET /v1/epochs lists those that are")


class UnknownCommitment(NotFound):
    def __init__(self, *, digest: str) -> None:
        super().__init__(f"no commitment {digest} was accepted here")


class UnknownRow(NotFound):
    def __init__(self, *, epoch_id: int, digest: str) -> None:
        super().__init__(
            f"epoch {epoch_id} has no job with commitment digest {digest} under a posted root",
            way_out=f"GET /v1/log/epochs/{epoch_id}.jsonl has its rows",
        )


class NothingDelivered(Conflict):
    code = "not_delivered"

    def __init__(self, *, order_id: str) -> None:
        super().__init__(f"order {order_id} has no answer yet", way_out=f"ask GET /v1/orders/{order_id} for its state")


class NotRooted(Conflict):
    def __init__(self, *, order_id: str, state: str) -> None:
        way_out = {
            "delivered": "ask again in a minute, when its epoch is posted",
            "expired": "nothing was delivered or charged, so there is no receipt",
        }.get(state, "ask again when it is delivered and its epoch is posted")
        super().__init__(f"order {order_id} is {state} and not yet under a root on chain", way_out=way_out)


class NodeBusy(Conflict):
    def __init__(self, *, node: str, order_id: str, expires: int) -> None:
        super().__init__(
            f"{node} holds the job {order_id} of another workload until {expires} and does not name it in `held`",
            way_out="ask for that workload to get it again, or let the lease lapse",
        )


class NodeElsewhere(Conflict):
    def __init__(self, *, node: str, ago_s: int, window_s: int) -> None:
        super().__init__(
            f"the key {node} is in use elsewhere: another node run asked for work with it {ago_s} s ago. A key that "
            "signs two answers to one order is slashed, so this one is lent nothing",
            way_out=(
                f"stop the other; {window_s} s later this one is served. A second node needs a key of its own (`assay "
                "node init` in another home)"
            ),
        )


class CanaryOff(Conflict):
    def __init__(self) -> None:
        super().__init__(
            "this backend orders no canary jobs", way_out="serve an ordinary job: its payment shows the same"
        )


class CanaryBudgetSpent(Conflict):
    def __init__(self, *, spent: int, price: int, budget: int) -> None:
        super().__init__(
            f"{spent} units went to canary jobs in the last day; {price} more would exceed the daily {budget}",
            way_out="ask again tomorrow, or serve an ordinary job meanwhile",
        )


class CanaryUnfunded(Conflict):
    def __init__(self, *, lane: str, why: str) -> None:
        way_out = "tell the backend's operator, and serve an ordinary job meanwhile"
        super().__init__(f"the lane of {lane}, which pays canary jobs, cannot pay one: {why}", way_out=way_out)


class ContradictingCommitment(Conflict):
    def __init__(self, *, order_id: str, kept: str, refused: str) -> None:
        super().__init__(
            f"order {order_id} was already delivered with commitment {kept}; {refused} contradicts it and is refused"
        )


class ContradictingVerdict(Conflict):
    def __init__(self, *, kept: str, refused: str) -> None:
        super().__init__(f"this verifier already gave verdict {kept} on this commitment; {refused} is refused")


class NotSampled(Conflict):
    def __init__(self, *, epoch_id: int, index: int, digest: str) -> None:
        super().__init__(
            f"row {index} of epoch {epoch_id} ({digest}) was not sampled, so a check of it is not paid",
            way_out="recompute the sample from the epoch's seed (SPEC section 9) and check the rows that it picks",
        )


class TraceTooEarly(NotYet):
    def __init__(self, *, digest: str, opens_at: int | None, now_s: int) -> None:
        when = "once its epoch's sample is revealed and its check period is over" if opens_at is None else opens_at
        way_out = "keep it until then: a verifier could copy it"
        super().__init__(f"the trace of {digest} is accepted from {when} on; it is {now_s} now", way_out=way_out)


class ContradictingTrace(Conflict):
    def __init__(self, *, digest: str, kept: str, refused: str) -> None:
        super().__init__(f"the trace of {digest} is {kept}; {refused} is refused")


class BlobTooLarge(TooLarge):
    def __init__(self, *, size: int, limit: int) -> None:
        super().__init__(f"the body has {size} bytes, at most {limit} are kept", way_out="send less")


class BadBlobName(Unacceptable):
    def __init__(self, *, name: str) -> None:
        way_out = "a name is 0x and 64 lower-case hex digits: the bytes' keccak256 or, for packed words, their root"
        super().__init__(f"{name[:80]!r} is no blob's name", way_out=way_out)


class BlobHashMismatch(Unacceptable):
    def __init__(self, *, named: str, actual: str) -> None:
        super().__init__(
            f"{named} is neither the body's keccak256 ({actual}) nor its root as packed words",
            way_out="put it under one of these",
        )


class BlobMissing(Unacceptable):
    def __init__(self, *, field: str, name: str) -> None:
        super().__init__(f"{field} = {name}, but there are no bytes under it", way_out=f"PUT /v1/blobs/{name} first")


class OutputRefused(Unacceptable):
    def __init__(self, why: str) -> None:
        way_out = "pack a list of words for each text"
        super().__init__(f"the output under commitment.output_root does not answer the order: {why}", way_out=way_out)


class OutputTooLong(Unacceptable):
    def __init__(self, *, length: int, limit: int) -> None:
        super().__init__(
            f"the output has {length} bytes, more than the {limit} that a contest can show on chain",
            way_out="an engine that keeps to the workload's limits stays below that",
        )


class UnitsRefused(Unacceptable):
    def __init__(self, *, units: int, counted: int, most: int) -> None:
        super().__init__(
            f"commitment.units = {units}, but the output has {counted} and the order allows {most}",
            way_out="commit to the output's units",
        )


class ObservationRefused(Unacceptable):
    def __init__(self, *, digest: str, why: str) -> None:
        super().__init__(f"the observation on {digest} is refused: {why}")


class TraceMismatch(Unacceptable):
    def __init__(self, *, digest: str, trace: str) -> None:
        super().__init__(
            f"the blob {trace} is not the trace that commitment {digest} binds: its trace hash is another",
            way_out="show the trace that was committed to",
        )


class TraceTooLong(Unacceptable):
    def __init__(self, *, length: int, limit: int) -> None:
        super().__init__(f"the trace has {length} bytes, at most {limit} are accepted")


class OpeningMismatch(Unacceptable):
    def __init__(self, *, answer_commit: str, actual: str) -> None:
        super().__init__(f"the opening hashes to {actual}, not to verdict.answer_commit = {answer_commit}")


class OpeningDisagrees(Unacceptable):
    def __init__(self, *, digest: str) -> None:
        super().__init__(
            f"the opening disagrees with commitment {digest}",
            way_out=(
                "send the verdict with opening null, so that nobody copies your answer, and open a case with "
                "SlashingCourt.openCase"
            ),
        )
