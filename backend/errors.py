"""What the backend refuses and why. The branch an error stands on says how HTTP answers it (backend/api/problems.py).

BackendError
├── Unauthenticated              401
│   ├── WrongSigner              a signature is not the named account's
│   ├── StaleRequest             a node's request is too old or from the future
│   ├── WrongAction              a node's request is signed for another call
│   ├── UnknownNode              the key belongs to no operator
│   └── InactiveVerifier         the key belongs to no active verifier
├── NotFound                     404
│   ├── UnknownBlob, UnknownWorkload, UnknownOrder, UnknownEpoch, UnknownCommitment, UnknownRow
├── Conflict                     409, the request is well-formed but does not fit the facts of now
│   ├── LaneNotOpened, LaneExpiresFirst, LaneUnderNotice
│   ├── CapTooLow, BalanceTooLow, LaneFull
│   ├── OperatorSuspended, OperatorWithheld, StakeTooLow, NodeBusy, NodeElsewhere
│   ├── CanaryOff, CanaryBudgetSpent, CanaryUnfunded
│   ├── LeaseNotHeld, LeaseExpired
│   ├── NotDelivered, NotRooted
│   └── ContradictingCommitment, ContradictingVerdict, ContradictingTrace, NotSampled
├── NotYet                       425, acceptable later, as it is
│   └── TraceTooEarly
├── TooLarge                     413
│   └── BlobTooLarge
├── Unacceptable                 422, never acceptable as it is
│   ├── BadBlobName, BlobHashMismatch, BlobMissing, InputRefused
│   ├── DeadlineRefused, PriceTooLow, PriceTooHigh, ParamsRefused, PromptMismatch, TermNotOffered
│   ├── TooManyUnits, UnitsRefused, OutputRefused, OutputTooLong
│   ├── OpeningMismatch, OpeningDisagrees
│   └── TraceMismatch, TraceTooLong, ObservationRefused
├── StorageFull                  507, a file system or quota has no room; nothing half-written was acknowledged
└── Misconfigured                never over HTTP: the operator of the backend set something wrong
    └── NotRecoverable           a database can not be made again from this chain and this log
"""


class BackendError(Exception):
    """Base. `code` is for machines; the message names the offending value and the way out."""

    code = "backend_error"


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
    code = "storage_full"

    def __init__(self, *, path: str, why: str) -> None:
        super().__init__(
            f"{path} cannot be written: {why}; nothing was changed. Free space there, or move the folder to a larger "
            "disk; then send the same request again"
        )


class Misconfigured(BackendError):
    code = "misconfigured"


class NotRecoverable(Misconfigured):
    code = "not_recoverable"


class WrongSigner(Unauthenticated):
    code = "wrong_signer"

    def __init__(self, *, what: str, named: str, recovered: str) -> None:
        super().__init__(
            f"the {what} names {named} but its signature is {recovered}'s; sign the EIP-712 digest of exactly this "
            f"{what}, in this deployment's domain, with the key of {named}"
        )


class StaleRequest(Unauthenticated):
    code = "stale_request"

    def __init__(self, *, timestamp: int, now_s: int, tolerance_s: int) -> None:
        super().__init__(
            f"request.timestamp = {timestamp} is more than {tolerance_s} s from this clock ({now_s}); "
            "set the node's clock and sign the request anew"
        )


class WrongAction(Unauthenticated):
    code = "wrong_action"

    def __init__(self, *, found: str, expected: str) -> None:
        super().__init__(f"request.action = {found!r} was signed for another call; this one needs {expected!r}")


class UnknownNode(Unauthenticated):
    code = "unknown_node"

    def __init__(self, *, node: str) -> None:
        super().__init__(f"{node} is no operator's node key; its owner adds it with StakeManager.addNodeKey")


class InactiveVerifier(Unauthenticated):
    code = "inactive_verifier"

    def __init__(self, *, key: str) -> None:
        super().__init__(f"{key} is no active verifier's key; it must be admitted and staked above the minimum")


class UnknownBlob(NotFound):
    code = "unknown_blob"

    def __init__(self, *, name: str) -> None:
        super().__init__(f"no bytes are known under {name}; put them first with PUT /v1/blobs/{name}")


class UnknownWorkload(NotFound):
    code = "unknown_workload"

    def __init__(self, *, workload_id: str) -> None:
        super().__init__(f"workload {workload_id} is not offered here; GET /v1/network lists what is")


class UnknownOrder(NotFound):
    code = "unknown_order"

    def __init__(self, *, order_id: str) -> None:
        super().__init__(f"no order {order_id} was accepted here; POST it to /v1/orders first")


class UnknownEpoch(NotFound):
    code = "unknown_epoch"

    def __init__(self, *, epoch_id: int) -> None:
        super().__init__(f"epoch {epoch_id} is not closed yet; GET /v1/epochs lists those that are")


class UnknownCommitment(NotFound):
    code = "unknown_commitment"

    def __init__(self, *, digest: str) -> None:
        super().__init__(f"no commitment {digest} was accepted here")


class UnknownRow(NotFound):
    code = "unknown_row"

    def __init__(self, *, epoch_id: int, digest: str) -> None:
        super().__init__(
            f"epoch {epoch_id} has no job with commitment digest {digest} under a posted root; "
            f"GET /v1/log/epochs/{epoch_id}.jsonl has its rows"
        )


class LaneNotOpened(Conflict):
    code = "lane_not_opened"

    def __init__(self, *, requester: str, signer: str) -> None:
        super().__init__(
            f"{requester} has no lane for the signer {signer}; the requester opens it with JobEscrow.openLane"
        )


class LaneExpiresFirst(Conflict):
    code = "lane_expires_first"

    def __init__(self, *, expiry: int, deadline: int) -> None:
        super().__init__(
            f"the lane expires at {expiry}, not after the order's deadline {deadline}; "
            "choose an earlier deadline or extend the lane with JobEscrow.openLane"
        )


class LaneUnderNotice(Conflict):
    code = "lane_under_notice"

    def __init__(self, *, notice_at: int, until: int) -> None:
        super().__init__(
            f"the lane is under notice of withdrawal since {notice_at}, until {until}; "
            "cancel it with JobEscrow.cancelNotice, or wait until it has lapsed"
        )


class CapTooLow(Conflict):
    code = "cap_too_low"

    def __init__(self, *, cap: int, charged: int, open_max: int, max_price: int) -> None:
        super().__init__(
            f"spend_cap = {cap} is below {charged + open_max + max_price} = {charged} charged + {open_max} open "
            f"+ {max_price} for this order; read GET /v1/lanes again and sign the order with that cap"
        )


class BalanceTooLow(Conflict):
    code = "balance_too_low"

    def __init__(self, *, balance: int, open_max: int, max_price: int) -> None:
        super().__init__(
            f"the lane's balance of {balance} units does not cover {open_max} for open orders + {max_price} for this; "
            f"deposit {open_max + max_price - balance} more or wait until open orders settle"
        )


class NotDelivered(Conflict):
    code = "not_delivered"

    def __init__(self, *, order_id: str) -> None:
        super().__init__(f"order {order_id} has no answer yet; ask GET /v1/orders/{order_id} for its state")


class NotRooted(Conflict):
    code = "not_rooted"

    def __init__(self, *, order_id: str, state: str) -> None:
        way_out = {
            "delivered": "its epoch is posted within a minute or so; ask again then",
            "expired": "nothing was delivered and nothing is charged, so there is no receipt",
        }.get(state, "ask again when it was delivered and its epoch is posted")
        super().__init__(f"order {order_id} is {state} and stands under no root on the chain: {way_out}")


class LaneFull(Conflict):
    code = "lane_full"

    def __init__(self, *, open_orders: int, limit: int) -> None:
        super().__init__(
            f"the lane has {open_orders} open orders, at most {limit} are taken; wait until some settle, "
            "or use another lane"
        )


class OperatorSuspended(Conflict):
    code = "operator_suspended"

    def __init__(self, *, operator_id: int, case_id: str) -> None:
        super().__init__(
            f"operator {operator_id} was found guilty in case {case_id} and gets no jobs here; "
            "the case file can be read on chain"
        )


class StakeTooLow(Conflict):
    code = "stake_too_low"

    def __init__(self, *, stake: int, open_max: int, max_price: int, multiple: int, newcomer_price: int) -> None:
        alone = f"without stake one job at a time is lent, of at most {newcomer_price} units"
        way_out = f"{alone}; add stake, k = {multiple}" if stake == 0 else f"add stake or wait, k = {multiple}"
        super().__init__(
            f"a stake of {stake} units does not cover {open_max} open + {max_price} for the oldest job; {way_out}"
        )


class NodeBusy(Conflict):
    code = "node_busy"

    def __init__(self, *, node: str, order_id: str, expires: int) -> None:
        super().__init__(
            f"{node} holds the job {order_id} of another workload until {expires} and does not name it; "
            "ask for that workload to get it again, or let the lease lapse"
        )


class NodeElsewhere(Conflict):
    code = "node_elsewhere"

    def __init__(self, *, node: str, ago_s: int, window_s: int) -> None:
        super().__init__(
            f"the key {node} is in use elsewhere: another node run asked for work with it {ago_s} s ago. Two that "
            "answer one order are slashed, so this one is lent nothing. Stop the other; once it was silent for "
            f"{window_s} s this one is served. A second node needs a key of its own (assay node init in another home)"
        )


class CanaryOff(Conflict):
    code = "canary_off"

    def __init__(self) -> None:
        super().__init__("this backend orders no canary jobs; an ordinary job that is paid shows the same thing")


class CanaryBudgetSpent(Conflict):
    code = "canary_budget_spent"

    def __init__(self, *, spent: int, price: int, budget: int) -> None:
        super().__init__(
            f"{spent} units went to canary jobs in the last day, {price} more would exceed the {budget} of a day; "
            "ask again tomorrow, or serve an ordinary job meanwhile"
        )


class CanaryUnfunded(Conflict):
    code = "canary_unfunded"

    def __init__(self, *, lane: str, why: str) -> None:
        super().__init__(
            f"the lane of {lane}, which pays canary jobs, cannot pay one: {why}; tell the backend's operator, "
            "and serve an ordinary job meanwhile"
        )


class LeaseNotHeld(Conflict):
    code = "lease_not_held"

    def __init__(self, *, node: str, order_id: str) -> None:
        super().__init__(f"{node} holds no lease of {order_id}; ask for a job with POST /v1/operator/leases")


class LeaseExpired(Conflict):
    code = "lease_expired"

    def __init__(self, *, node: str, order_id: str, expires: int, now_s: int) -> None:
        super().__init__(
            f"{node}'s lease of {order_id} ended at {expires}, it is {now_s}; nothing is owed for late work, "
            "send heartbeats while a job runs"
        )


class ContradictingCommitment(Conflict):
    code = "contradicting_commitment"

    def __init__(self, *, order_id: str, kept: str, refused: str) -> None:
        super().__init__(
            f"order {order_id} was already delivered with commitment {kept}; {refused} contradicts it and is refused"
        )


class ContradictingVerdict(Conflict):
    code = "contradicting_verdict"

    def __init__(self, *, kept: str, refused: str) -> None:
        super().__init__(f"this verifier already gave verdict {kept} on this commitment; {refused} is refused")


class NotSampled(Conflict):
    code = "not_sampled"

    def __init__(self, *, epoch_id: int, index: int, digest: str) -> None:
        super().__init__(
            f"row {index} of epoch {epoch_id} ({digest}) was not sampled, so no check of it is asked for or paid; "
            "recompute the sample from the epoch's seed (SPEC section 9) and check the rows that it picks"
        )


class TraceTooEarly(NotYet):
    code = "trace_too_early"

    def __init__(self, *, digest: str, opens_at: int | None, now_s: int) -> None:
        when = "its epoch's sample is revealed and its check period is over" if opens_at is None else str(opens_at)
        super().__init__(
            f"the trace of {digest} is taken from {when} on, here it is {now_s}; as long as it could be copied, nobody "
            "may see it"
        )


class ContradictingTrace(Conflict):
    code = "contradicting_trace"

    def __init__(self, *, digest: str, kept: str, refused: str) -> None:
        super().__init__(f"the trace of {digest} is {kept}, it cannot be {refused}")


class BlobTooLarge(TooLarge):
    code = "blob_too_large"

    def __init__(self, *, size: int, limit: int) -> None:
        super().__init__(f"the body has {size} bytes, at most {limit} are kept; send less")


class BadBlobName(Unacceptable):
    code = "bad_blob_name"

    def __init__(self, *, name: str) -> None:
        super().__init__(f"{name[:80]!r} names no blob; a name is 0x and the 64 lower-case hex digits of a keccak256")


class BlobHashMismatch(Unacceptable):
    code = "blob_hash_mismatch"

    def __init__(self, *, named: str, actual: str) -> None:
        super().__init__(f"the body's keccak256 is {actual}, not {named}; put it under its own hash")


class BlobMissing(Unacceptable):
    code = "blob_missing"

    def __init__(self, *, field: str, name: str) -> None:
        super().__init__(f"{field} = {name}, but no bytes are known under it; PUT /v1/blobs/{name} first")


class InputRefused(Unacceptable):
    code = "input_refused"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the input {why}; shorten a text that is too long: the workload's manifest says what an input may be"
        )


class DeadlineRefused(Unacceptable):
    code = "deadline_refused"

    def __init__(self, *, deadline: int, now_s: int, ttl_s: int) -> None:
        super().__init__(
            f"terms.deadline = {deadline} must lie after now ({now_s}) and at most {ttl_s} s ahead; sign a new order"
        )


class PriceTooLow(Unacceptable):
    code = "price_too_low"

    def __init__(self, *, name: str, value: int, least: int) -> None:
        super().__init__(f"terms.{name} = {value} is below the {least} units asked; GET /v1/network has the prices")


class PriceTooHigh(Unacceptable):
    code = "price_too_high"

    def __init__(self, *, max_price: int, limit: int) -> None:
        super().__init__(f"terms.max_price = {max_price} exceeds {limit}, the most that a row of an epoch carries")


class ParamsRefused(Unacceptable):
    code = "params_refused"

    def __init__(self, *, name: str, value: int | None, why: str) -> None:
        super().__init__(f"params.{name} = {value} {why}; the workload's manifest lists its parameters")


class PromptMismatch(Unacceptable):
    code = "prompt_mismatch"

    def __init__(self, *, signed: str, actual: str) -> None:
        super().__init__(
            f"the texts' token ids have the root {actual}, terms.prompt_root = {signed} was signed; cut the texts with "
            "the tokenizer of the workload's manifest, or ask POST /v1/tokenize"
        )


class TermNotOffered(Unacceptable):
    code = "term_not_offered"

    def __init__(self, *, name: str, value: int, offered: int) -> None:
        super().__init__(f"terms.{name} = {value} is not offered for this workload, only {offered} is")


class TooManyUnits(Unacceptable):
    code = "too_many_units"

    def __init__(self, *, most: int, unit: str, limit: int) -> None:
        super().__init__(
            f"the order may take {most} units ({unit}s), the workload is offered up to {limit} a job; "
            "send fewer or shorter texts, or ask for less"
        )


class OutputRefused(Unacceptable):
    code = "output_refused"

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the output under commitment.output_root answers no order: {why}; pack a list of words for each text"
        )


class OutputTooLong(Unacceptable):
    code = "output_too_long"

    def __init__(self, *, length: int, limit: int) -> None:
        super().__init__(
            f"the output has {length} bytes, more than the {limit} that a contest can show on chain; the workload's "
            "limits keep an honest engine's outputs below that"
        )


class UnitsRefused(Unacceptable):
    code = "units_refused"

    def __init__(self, *, units: int, counted: int, most: int) -> None:
        super().__init__(
            f"commitment.units = {units}; the output under its root has {counted}, the order asked for at most {most}"
        )


class ObservationRefused(Unacceptable):
    code = "observation_refused"

    def __init__(self, *, digest: str, why: str) -> None:
        super().__init__(f"the observation on {digest} is not taken: {why}")


class OperatorWithheld(Conflict):
    code = "operator_withheld"

    def __init__(self, *, operator_id: int, why: str) -> None:
        super().__init__(
            f"operator {operator_id} is given no native work: {why}; its exact workloads and its pay are not touched"
        )


class TraceMismatch(Unacceptable):
    code = "trace_mismatch"

    def __init__(self, *, digest: str, trace: str) -> None:
        super().__init__(f"the sha256 of the blob {trace} is not the trace hash that commitment {digest} binds")


class TraceTooLong(Unacceptable):
    code = "trace_too_long"

    def __init__(self, *, length: int, limit: int) -> None:
        super().__init__(f"the trace has {length} bytes, at most {limit} are kept")


class OpeningMismatch(Unacceptable):
    code = "opening_mismatch"

    def __init__(self, *, answer_commit: str, actual: str) -> None:
        super().__init__(f"the opening hashes to {actual}, not to verdict.answer_commit = {answer_commit}")


class OpeningDisagrees(Unacceptable):
    code = "opening_disagrees"

    def __init__(self, *, digest: str) -> None:
        super().__init__(
            f"the opening is not the answer of commitment {digest}; do not show it, others could copy it: send the "
            "verdict with opening null and open a case with SlashingCourt.openCase"
        )
