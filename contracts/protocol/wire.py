"""The backend's HTTP interface: strict schemas of requests and answers, and the paths.

Errors are RFC 9457 problem details; `detail` has the offending value and the way out. Byte strings are 0x hex. Blobs
are raw bytes named by their keccak256 or, packed words, by their root (`contracts.protocol.packed`): texts, packed
prompts, packed outputs, shown traces.

    GET  /v1/network                       NetworkInfo: deployment, workloads with price sheet, treasury's lane
    GET  /v1/workloads/{id}                the canonical manifest (raw bytes)
    GET  /v1/workloads/{id}/tokenizer      its tokenizer.json (raw bytes; sha256 as the manifest says)
    POST /v1/tokenize                      Tokenize -> Tokenized, for clients without a tokenizer
    PUT  /v1/blobs/{hash}                  raw body; refused under another name
    GET  /v1/blobs/{hash}                  raw bytes
    POST /v1/orders                        SubmitOrder -> OrderView (201, or 200 for the same order again)
    GET  /v1/orders/{order_id}             OrderView
    GET  /v1/orders/{order_id}/answer      list, one item per text: the readable output (`prompts.read_answer`)
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
"""How far a NodeRequest's timestamp may be from the backend's clock, in seconds."""

MOST_LEASES = 64
"""Per node at once."""

SERVING_WINDOW_S = 90
"""A node serves a workload if it asked for work of it within this time. Busy nodes send three heartbeats per lease."""

MOST_WORDS = 500
"""The longest reason for people, in characters."""

EpochId = Annotated[int, Field(strict=True, ge=1, lt=2**63)]
"""Epochs count from 1, and fit a database's integer."""


class PriceSheetEntry(Record):
    """The current prices of a workload, in units. Unsigned: the requester signs exact prices.

    `most_new_tokens`: the longest answer to one text, if tokens are generated. `serving`: how many nodes asked for work
    of it within SERVING_WINDOW_S; with none, an order waits for one, or expires.
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
    """This backend's network and terms. All of it can be checked on chain.

    `newcomer_price`: the most units that a job may cost to be lent to an operator without stake. `public_rpc`: an RPC
    URL for wallets; None if the backend names none.
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
    """A signed order. Its texts were put under `terms.texts_hash` before."""

    order: Order
    signer: Address
    signature: Signature


class Tokenize(Record):
    """Texts for a workload's tokenizer."""

    workload_id: Bytes32
    texts: Annotated[list[str], Field(min_length=1, max_length=1024)]


class Tokenized(Record):
    """Token ids of the texts, the template's included, and their root. Clients check that they spell the texts."""

    prompts: list[list[Uint32]]
    prompt_root: Bytes32


class Receipt(Record):
    """The proof of a payment: the leaf and its position."""

    epoch_id: Units64
    index: Uint32
    operator_id: Uint32
    amount_units: Units64
    commitment_digest: Bytes32
    siblings: list[Bytes32]


OrderState = Literal["queued", "leased", "delivered", "rooted", "paid", "void", "skipped", "expired"]


class OrderView(Record):
    """An order's state, derived from facts and time.

    queued: waits for a node. leased: lent to one. delivered: committed, not under a root yet. rooted: under a posted
    root, in its check period. paid | void | skipped: settled on chain. expired: not delivered by its deadline, and not
    charged. `refunded_units`: of the charge, by the court or a contest.
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
    """A lane by the chain, and its open orders, in units.

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
"""Parts per million."""


class NativeStanding(Record):
    """An operator's standing on native work (`contracts.protocol.native.standing`), which anyone computes from the log.

    `clear`; `watch`: at least `least_rate_ppm` of its native jobs are checked; `withheld`: it is lent none.

    Attributes:
        checks: how many were not abstentions.
        suspect: how many of the last 64 of these were suspect.
        watch_left: how many more without a suspect one until none of the last 64 is suspect.
        reputation_ppm: operators with less are offered native jobs some seconds later.
        overdue_trace: digest of the oldest commitment whose trace is overdue; until it is shown, the operator is lent
            no native jobs.
    """

    state: State
    least_rate_ppm: Ppm
    reputation_ppm: Ppm
    checks: Uint32
    suspect: Uint32
    watch_left: Uint32
    overdue_trace: Bytes32 | None


class NodeView(Record):
    """An operator. Amounts in units."""

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
    """One contract's tokens in base units: unexplained = held - owed by the replayed ledger - donated."""

    contract: str
    address: Address
    held_wei: WeiHeld
    owed_wei: int
    donated_wei: WeiHeld
    unexplained_wei: int


class BooksView(Record):
    """All tokens that the contracts hold as of a block; `block_number` is None before the ledger has one."""

    block_number: int | None
    token_symbol: str
    token_decimals: Annotated[int, Field(strict=True, ge=0, le=255)]
    contracts: list[ContractBooks]
    unexplained_wei: int


class LeaseRequest(Record):
    """A node asks for one more job of one workload. action = "lease", order_id zero.

    `held`: orders of the leases that it knows of. One that it holds and does not name, e.g. after a restart or a lost
    answer, is lent to it again first: so it holds at most one more than it names.
    `session`: the process that uses the key; while one session of a node asks, others are refused. None: not stated.
    `pace`: of one job. The node is lent no job that it would not finish in time (`contracts.protocol.pace`); None: not
    measured, so any. `held` and `pace` only affect what this node is lent, and are unsigned.
    """

    request: NodeRequest
    signature: Signature
    workload_id: Bytes32
    held: list[Bytes32] = Field(default_factory=list, max_length=MOST_LEASES - 1)
    session: Bytes32 | None = None
    pace: Pace | None = None


class Heartbeat(Record):
    """A node is still working on a job. action = "heartbeat"."""

    request: NodeRequest
    signature: Signature


ReturnReason = Literal["too_slow", "failed", "refused"]


class ReturnLease(Record):
    """A node returns a job that it can't do, so that another node gets it at once. action = "return".

    too_slow: this host would miss the deadline. failed: its engine failed. refused: the node does not accept terms,
    lane or input. `words`: the reason, for people. The node is not lent this job again.
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
    """A job lent to the asking node. Its packed prompts are the blob `order.terms.prompt_root`."""

    lease: Lease
    lease_signature: Signature
    order: Order
    signer: Address
    order_signature: Signature


class SubmitCommitment(Record):
    """A node's commitment. The output was put as the blob `commitment.output_root` before."""

    commitment: Commitment
    signature: Signature


class SubmitTrace(Record):
    """The trace that a commitment binds, accepted from `trace.opens_at` on. Its bytes were put as a blob before.

    Unsigned: the commitment binds the hash of the bytes (`trace.trace_hash_of`).
    """

    commitment_digest: Bytes32
    trace: Bytes32


class SubmitVerdict(Record):
    """A verifier's verdict. `opening` is null if it does not match: the court must see it first.

    On native work of another numeric class, `observation` names a blob that was put before, and `opening` has its
    sha256 as the trace hash.
    """

    epoch_id: EpochId
    verdict: Verdict
    signature: Signature
    opening: Opening | None
    observation: Bytes32 | None = None


class Acknowledgement(Record):
    """The fact is stored durably. `digest` names it; `new` is false if it was known before."""

    digest: Bytes32
    new: bool


class Problem(Record):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    code: str
    detail: str
