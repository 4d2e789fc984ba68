"""Checks a receipt against the chain: the contracts' code, the leaf under its root, and the leaf's outcome."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from eth_utils.address import to_checksum_address

from contracts.onchain.artifacts import artifact
from contracts.onchain.chain import Chain, as_dict
from contracts.onchain.errors import NotKnown
from contracts.onchain.events import Event
from contracts.onchain.rpc import Rpc
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.merkle import Row
from contracts.protocol.packing import outcomes_hash
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.rulings import Ruling
from contracts.record.history import CONTEST_ENDS, History, read_history
from contracts.record.leaf import Leaf
from contracts.record.outcome import outcome_of
from contracts.record.sample import seed_of
from verifier.receipts.report import Checklist, Outcome

_PLACEHOLDER = b"\x7f" + bytes(32)
"""PUSH32 0: where the constructor writes an immutable."""

CONTEST_EVENTS = ("Contested", *CONTEST_ENDS, "DuplicateRefunded")
_OUTCOMES: Mapping[str, Outcome] = {
    "posted": "rooted", "revealed": "rooted", "paid": "paid", "void": "void", "skipped": "skipped",
    "stranded": "stranded", "alone": "paid one by one",
}  # fmt: skip
_RULINGS = {
    Ruling.OPEN: "open",
    Ruling.DISMISSED: "dismissed",
    Ruling.NODE_UPHELD: "in the node's favour",
    Ruling.NODE_GUILTY: "against the node",
}


@dataclass
class LeafHistory:
    """A leaf's past on chain. `refunds`: event name -> units. `contest`: the newest event of its contest, if any."""

    outcome: Outcome
    posted_at: int
    settled_at_block: int | None = None
    refunds: dict[str, int] = field(default_factory=dict)
    case: str = ""
    contest: str = ""
    draw: int | None = None


def same_code(deployed: bytes, creation: bytes) -> bool:
    """Whether deployed code is the build's, apart from the immutables that its constructor wrote."""
    if not 0 < len(deployed) <= len(creation):
        return False
    template = creation[len(creation) - len(deployed) :]
    pattern = re.escape(_PLACEHOLDER)
    filled, last = bytearray(), 0
    for match in re.finditer(pattern, template):
        filled += template[last : match.start() + 1] + deployed[match.start() + 1 : match.end()]
        last = match.end()
    return bytes(filled + template[last:]) == deployed


def check_contracts(w3: Rpc, receipt: PaymentReceipt, insisted: str | None, found: Checklist) -> bool:
    """Whether the escrow is on this chain and is Assay's, so that its answers count. `insisted`: the user's escrow."""
    chain_id = w3.eth.chain_id
    code = bytes(w3.eth.get_code(to_checksum_address(receipt.contracts.escrow)))
    ok = found.expect("the endpoint serves the receipt's chain", ["chain_id"], receipt.chain_id, chain_id)
    ours = same_code(code, from_hex(artifact("JobEscrow").bytecode))
    said = "this build's JobEscrow" if ours else f"{len(code)} bytes of other code" if code else "no contract"
    if insisted is not None:
        rule = "the receipt names the escrow that you named"
        ok &= found.expect(rule, ["contracts.escrow"], insisted.lower(), receipt.contracts.escrow)
    if insisted is None or not code:  # whoever names the contract vouches for its code
        ok &= found.expect("the escrow's code is this build's", ["contracts.escrow"], "this build's JobEscrow", said)
    return ok


def check_neighbours(chain: Chain, receipt: PaymentReceipt, found: Checklist) -> None:
    """The escrow itself names the receipt's other contracts."""
    for name in ("stake_manager", "court", "token"):
        rule = f"the escrow's {name.replace('_', ' ')} is the receipt's"
        on_chain, stated = getattr(chain.deployment, name), getattr(receipt.contracts, name)
        found.expect(rule, [f"contracts.{name}"], on_chain, stated)


def check_leaf(chain: Chain, receipt: PaymentReceipt, epoch: Mapping[str, Any], found: Checklist) -> None:
    """The leaf is under the epoch's root, which was posted in time by the named transaction."""
    leaf, root = receipt.leaf, to_hex(bytes(epoch["root"]))
    found.expect("the root is the epoch's on chain", ["leaf.root", "leaf.epoch_id"], root, leaf.root)
    digest = from_hex(receipt.commitment_digest)
    row = Row(receipt.order.requester, receipt.signer, leaf.operator_id, leaf.amount_units, digest)
    proven = Leaf.of_receipt(row, leaf.index, leaf.siblings)
    parts = ["leaf.index", "leaf.siblings", "leaf.epoch_id", "leaf.operator_id", "leaf.amount_units", "signer"]
    stands = proven.stands(bytes(epoch["root"]), epoch["count"])
    found.expect(
        "the charge is under the epoch's root on chain", [*parts, "commitment_digest", "order.requester"], True, stands
    )
    posted = _epoch_of(chain, leaf.post_tx, "EpochPosted")
    found.expect("the named transaction posted the epoch", ["leaf.post_tx"], leaf.epoch_id, posted)
    node = to_checksum_address(receipt.commitment.node)
    operator_id = as_dict(chain.stakes.functions.nodeKeys(node).call())["operatorId"]
    rule = "the node is or was a key of the operator that earns"
    found.expect(rule, ["leaf.operator_id", "commitment.node"], operator_id, leaf.operator_id)
    latest = receipt.order.terms.deadline + chain.deployment.constants.epoch_max_s
    rule = "the epoch was posted within EPOCH_MAX of the order's deadline"
    found.expect(rule, ["order.terms.deadline"], True, epoch["postedAt"] <= latest)


def check_settlement(chain: Chain, receipt: PaymentReceipt, epoch: Mapping[str, Any], found: Checklist) -> None:
    stated = receipt.settlement
    if stated is None:
        return
    voids, skips = from_hex(stated.void_bits), from_hex(stated.skipped_bits)
    size = (epoch["count"] + 7) // 8
    whole = len(voids) == len(skips) == size
    found.expect(
        "the outcomes hash to what the chain keeps",
        ["settlement.void_bits", "settlement.skipped_bits"],
        f"{epoch['outcomes']:#x}",
        f"{outcomes_hash(voids, skips):#x}" if whole else f"bitmaps that are not {size} bytes long",
    )
    settled, rule = _epoch_of(chain, stated.settle_tx, "EpochSettled"), "the named transaction settled the epoch"
    found.expect(rule, ["settlement.settle_tx"], receipt.leaf.epoch_id, settled)


def chain_facts(chain: Chain, receipt: PaymentReceipt, epoch: Mapping[str, Any]) -> LeafHistory:
    """The leaf's past, from the events since its epoch was posted."""
    head, leaf = chain.head(), receipt.leaf
    history = read_history(chain, head.number, first_block=int(epoch["postedBlock"]))
    place = leaf.epoch_id, leaf.index
    own = [e for e in history.events if (e.args.get("epochId"), e.args.get("index")) == place]
    settled, case = history.settled.get(leaf.epoch_id), history.case_on(*place)
    return LeafHistory(
        outcome=_OUTCOMES[outcome_of(chain, history, *place, leaf.operator_id, head.timestamp).code],
        posted_at=epoch["postedAt"],
        settled_at_block=None if settled is None else settled.block_number,
        refunds=_refunds(own),
        case="" if case is None else _RULINGS[case.ruling],
        contest=next((event.name for event in reversed(own) if event.name in CONTEST_EVENTS), ""),
        draw=_draw(chain, history, receipt),
    )


def _refunds(own: list[Event]) -> dict[str, int]:
    """Units that were refunded to the leaf's lane, by event name."""
    given_back: Counter[str] = Counter()
    for event in own:
        if event.name in ("Refunded", "RefundedFromBond"):
            given_back[event.name] += event.args["units"]
    return given_back


def _draw(chain: Chain, history: History, receipt: PaymentReceipt) -> int | None:
    """The job's number below 2^256: it is checked if that is below its threshold. None before the reveal."""
    seed = seed_of(history, chain.deployment.constants, receipt.leaf.epoch_id, chain.block_hash)
    return None if seed is None else int.from_bytes(keccak(seed + from_hex(receipt.commitment_digest)), "big")


def _epoch_of(chain: Chain, tx_hash: str, name: str) -> int | str:
    """The epoch that a transaction's event names; words if there is no such transaction or event."""
    try:
        block = chain.w3.eth.get_transaction_receipt(tx_hash)["blockNumber"]
    except NotKnown:
        return "no such transaction"
    found = (e.args["id"] for e in chain.events(block, block) if e.name == name and to_hex(e.tx_hash) == tx_hash)
    return next(found, f"no {name}")
