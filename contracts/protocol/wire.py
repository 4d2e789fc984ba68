"""What the parties say to a backend over HTTP: strict schemas of requests and answers, and the paths.

Errors are RFC 9457 problem details with a `code`, the offending value and the way out in `detail`.
Byte strings are 0x hex. Blobs travel as raw bytes under their keccak256, or, packed words, under their root
(`contracts.protocol.packed`): texts, packed prompts, packed outputs, shown traces.

    GET  /v1/network                       NetworkInfo: deployment, workloads with price sheet, treasury's lane
    GET  /v1/workloads/{id}                the canonical manifest (raw bytes)
    GET  /v1/workloads/{id}/tokenizer      its tokenizer.json (raw bytes; sha256 as the manifest says)
    POST /v1/tokenize                      Tokenize -> Tokenized: for who has no tokenizer
    PUT  /v1/blobs/{hash}                  raw body; refused unless it is named so
    GET  /v1/blobs/{hash}                  raw bytes
    POST /v1/orders                        SubmitOrder -> OrderView (201, or 200 for the same order again)
    GET  /v1/orders/{order_id}             OrderView
    GET  /v1/orders/{order_id}/answer      list, an item a text: what people read of the output (`prompts.read_answer`)
    GET  /v1/orders/{order_id}/receipt     PaymentReceipt (receipt.py), once the order stands under a root
    GET  /v1/orders?requester=0x..         list of OrderView; &signer=0x..: of one lane
    GET  /v1/lanes/{requester}/{signer}    LaneView: what the next order's cap must be
    GET  /v1/nodes                         list of NodeView
    GET  /v1/epochs                        list of EpochView
    GET  /v1/books                         BooksView: tokens held, owed, donated, unexplained
    GET  /v1/log/epochs/{id}.jsonl         the published log of an epoch
    GET  /v1/log/blobs/{hash}              raw bytes (inputs and outputs of open orders)
    POST /v1/operator/leases               LeaseRequest -> LeaseGrant, or 204 when there is no job
    POST /v1/operator/heartbeats           Heartbeat -> LeaseGrant (lease extended)
    POST /v1/operator/returns              ReturnLease -> Acknowledgement (the job is free for others)
    POST /v1/operator/commitments          SubmitCommitment -> Acknowledgement
    POST /v1/operator/traces               SubmitTrace -> Acknowledgement
    POST /v1/operator/canary               CanaryRequest -> OrderView of a small paid job that only this node may lease
    POST /v1/verifier/verdicts             SubmitVerdict -> Acknowledgement
"""

from typing import Annotated, Literal

from pydantic import Field

from contracts.protocol.constants import Constants
from contracts.protocol.native.standing import State
from contracts.protocol.pace import Pace
from contracts.protocol.records import (
    Address,
    Bytes32,
    Commitment,
    Lease,
    NodeRequest,
    Opening,
    Order,
    Record,
    Signature,
    Uint32,
    Units64,
    Verdict,
)

ACTION_LEASE = "lease"
ACTION_HEARTBEAT = "heartbeat"
ACTION_CANARY = "canary"
ACTION_RETURN = "return"
REQUEST_TOLERANCE_S = 60
"""How far a NodeRequest's timestamp may be from the backend's clock, seconds."""

MOST_LEASES = 64
"""How many jobs a node may hold at once."""

SERVING_WINDOW_S = 90
"""A node that asked for work of a workload so lately serves it. One at work sends a heartbeat three times a lease."""

MOST_WORDS = 500
"""Characters of a reason for people."""

EpochId = Annotated[int, Field(strict=True, ge=1, lt=2**63)]
"""Epochs count from 1; more than a database's integer holds never come."""


class PriceSheetEntry(Record):
    """What the network asks for a workload now, units. Unsigned: the requester signs exact prices.

    `most_new_tokens`: the longest answer to one text, where its length is bounded in tokens. `serving`: how many nodes
    asked for work of it within SERVING_WINDOW_S; with none, an order waits until one does, or expires.
    """

    workload_id: Bytes32
    kind: str
    model: str
    fixed_price: Units64
    unit_price: Units64
    max_units: Uint32
    unit: str
    most_new_tokens: Uint32 | None
    serving: Uint32


class NetworkInfo(Record):
    """Where and on what terms this backend works. Everything in it can be checked on chain.

    `newcomer_price`: the most units that a job may cost that is lent to an operator without stake. `public_rpc`: an RPC
    URL that wallets may be told, None when the backend names none.
    """

    chain_id: int
    escrow: Address
    stake_manager: Address
    court: Address
    contests: Address
    token: Address
    settler: Address
    treasury: Address
    treasury_signer: Address
    first_block: int
    constants: Constants
    price_sheet: list[PriceSheetEntry]
    newcomer_price: int
    public_rpc: str | None = None


class SubmitOrder(Record):
    """A signed order. Its texts were put under `terms.texts_hash` before; their ids make `terms.prompt_root`."""

    order: Order
    signer: Address
    signature: Signature


class Tokenize(Record):
    """Texts to be cut by a workload's tokenizer."""

    workload_id: Bytes32
    texts: Annotated[list[str], Field(min_length=1, max_length=1024)]


class Tokenized(Record):
    """The prompts of texts: token ids, the template's included, and their root. Check that they spell the texts."""

    prompts: list[list[Uint32]]
    prompt_root: Bytes32


class Receipt(Record):
    """What proves a payment: the leaf and its place."""

    epoch_id: Units64
    index: Uint32
    operator_id: Uint32
    amount_units: Units64
    commitment_digest: Bytes32
    siblings: list[Bytes32]


OrderState = Literal["queued", "leased", "delivered", "rooted", "paid", "void", "skipped", "expired"]


class OrderView(Record):
    """An order as it stands, derived from facts and time.

    queued: waits for a node. leased: lent to one. delivered: committed, not yet under a root. rooted: under a posted
    root, in its check period. paid | void | skipped: settled on chain. expired: its deadline passed undelivered,
    nothing is charged. `refunded_units`: what came back into the lane of a charge, by the court or by a contest.
    """

    order_id: Bytes32
    state: OrderState
    order: Order
    signer: Address
    signature: Signature
    node: Address | None
    commitment: Commitment | None
    commitment_signature: Signature | None
    amount_units: Units64 | None
    refunded_units: Units64 = 0
    receipt: Receipt | None


class LaneView(Record):
    """A lane for its client: what the chain says and what is open. Units.

    The next order's cap is `charged + open_max + its maxPrice`; it is accepted while `open_max + maxPrice <= balance`.
    """

    requester: Address
    signer: Address
    balance: Units64
    charged: Units64
    cap_proven: Units64
    open_max: Units64
    under_notice: bool


Ppm = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
"""A part of one, in parts per million."""


class NativeStanding(Record):
    """An operator's standing on native work (`contracts.protocol.native.standing`), as anyone folds it from the log.

    `clear`; `watch`: at least `least_rate_ppm` of its native jobs are checked; `withheld`: it is lent none.

    Attributes:
        checks: that compared anything so far.
        suspect: how many of the last 64 of them were suspect.
        watch_left: how many more, none of them suspect, until none of the last 64 is.
        reputation_ppm: how much it is trusted; who has less is offered native jobs some seconds later.
        overdue_trace: digest of a commitment whose trace it has not shown in time, until when it is lent no native
            jobs either; the oldest such one.
    """

    state: State
    least_rate_ppm: Ppm
    reputation_ppm: Ppm
    checks: Uint32
    suspect: Uint32
    watch_left: Uint32
    overdue_trace: Bytes32 | None


class NodeView(Record):
    """An operator as it stands. Units."""

    operator_id: Uint32
    nodes: list[Address]
    stake: Units64
    locked: Units64
    earned: Units64
    claimed: Units64
    open_max: Units64
    delivered_jobs: Uint32
    checked_jobs: Uint32
    slashed: Units64
    suspended: bool
    native: NativeStanding


EpochState = Literal["closing", "posted", "revealed", "settled", "stranded"]


class EpochView(Record):
    """An epoch as it stands."""

    epoch_id: Units64
    rows: Uint32
    root: Bytes32
    log_root: Bytes32
    state: EpochState
    post_tx: Bytes32 | None
    settle_tx: Bytes32 | None
    charged: Units64
    void_rows: list[Uint32]
    skipped_rows: list[Uint32]


WeiHeld = Annotated[int, Field(strict=True, ge=0)]


class ContractBooks(Record):
    """One contract's tokens, base units: unexplained = held - owed by the replayed ledger - donated."""

    contract: str
    address: Address
    held_wei: WeiHeld
    owed_wei: int
    donated_wei: WeiHeld
    unexplained_wei: int


class BooksView(Record):
    """All tokens that the contracts hold, as of a block; `block_number` is None before the ledger knows one."""

    block_number: int | None
    token_symbol: str
    token_decimals: Annotated[int, Field(strict=True, ge=0, le=255)]
    contracts: list[ContractBooks]
    unexplained_wei: int


class LeaseRequest(Record):
    """A node asks for one more job of one workload. action = "lease", order_id zero.

    `held`: the orders of the leases that it knows it holds. One that it holds and does not name, e.g. after a restart
    or a lost answer, is lent to it again before any other: so it holds at most one more than it names.
    `session`: from where the key is used; while one session of a node asks, others are refused. None: not said.
    `pace`: what one job gets there; it is lent none that it would not finish in time (`contracts.protocol.pace`). None
    where nobody measured: then it is lent any. Like `held` it only bears on what this node is lent, and is unsigned.
    """

    request: NodeRequest
    signature: Signature
    workload_id: Bytes32
    held: list[Bytes32] = Field(default_factory=list, max_length=MOST_LEASES - 1)
    session: Bytes32 | None = None
    pace: Pace | None = None


class Heartbeat(Record):
    """A node still works on a job. action = "heartbeat"."""

    request: NodeRequest
    signature: Signature


ReturnReason = Literal["too_slow", "failed", "refused"]


class ReturnLease(Record):
    """A node gives a job back that it can't do, so that another is lent it at once. action = "return".

    too_slow: this host would not finish before the deadline. failed: its engine did not do it. refused: terms, lane or
    input are not what the node works for. `words`: why, for people. The node is not lent this job again.
    """

    request: NodeRequest
    signature: Signature
    reason: ReturnReason
    words: Annotated[str, Field(max_length=MOST_WORDS)]


class CanaryRequest(Record):
    """A new node asks for its one canary job of a workload that it serves. action = "canary", order_id zero."""

    request: NodeRequest
    signature: Signature
    workload_id: Bytes32


class LeaseGrant(Record):
    """A job lent to the asking node. Its packed prompts lie under `order.terms.prompt_root` among the blobs."""

    lease: Lease
    lease_signature: Signature
    order: Order
    signer: Address
    order_signature: Signature


class SubmitCommitment(Record):
    """What a node computed. The output was put among the blobs before, under `commitment.output_root`."""

    commitment: Commitment
    signature: Signature


class SubmitTrace(Record):
    """What lies behind a commitment's `traceCommit`, from `trace.opens_at` on. Its bytes were put among the blobs.

    Signed by nobody: the trace hash that the commitment binds follows from the bytes (`trace.trace_hash_of`).
    """

    commitment_digest: Bytes32
    trace: Bytes32


class SubmitVerdict(Record):
    """What a verifier computed. `opening` is null when it does not match: then the court hears it first.

    On native work that another numeric class did, `observation` names what was seen; its bytes were put among the blobs
    before, and `opening` has their sha256 as its trace hash.
    """

    epoch_id: EpochId
    verdict: Verdict
    signature: Signature
    opening: Opening | None
    observation: Bytes32 | None = None


class Acknowledgement(Record):
    """The fact is durable. `digest` names it; `new` is false when the same fact was known before."""

    digest: Bytes32
    new: bool


class Problem(Record):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
