"""What the chain says: that the contract is ours, that the leaf stands under its root, and what became of it."""

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
    """What the chain says of one leaf. `refunds`: event name -> units; `contest`: the last event of one, if any."""

    outcome: Outcome
    posted_at: int
    settled_at_block: int | None = None
    refunds: dict[str, int] = field(default_factory=dict)
    case: str = ""
    contest: str = ""
    draw: int | None = None


def same_code(deployed: bytes, creation: bytes) -> bool:
    """Whether deployed code is the build's, whatever its constructor wrote into the immutables."""
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
    """Whether the receipt's contracts are on this chain and are Assay's; only then is it worth asking them."""
    chain_id = w3.eth.chain_id
    code = bytes(w3.eth.get_code(to_checksum_address(receipt.contracts.escrow)))
    ok = found.expect(
        "the endpoint serves the receipt's chain", ["chain_id"], expected=receipt.chain_id, found=chain_id
    )
    ours = same_code(code, from_hex(artifact("JobEscrow").bytecode))
    said = "this build's JobEscrow" if ours else f"{len(code)} bytes of other code" if code else "no contract"
    if insisted is not None:
        ok &= found.expect(
            "the receipt speaks of the escrow that you named",
            ["contracts.escrow"],
            expected=insisted.lower(),
            found=receipt.contracts.escrow,
        )
    if insisted is None or not code:  # whoever names the contract vouches for its code
        ok &= found.expect(
            "the escrow's code is this build's", ["contracts.escrow"], expected="this build's JobEscrow", found=said
        )
    return ok


def check_neighbours(chain: Chain, receipt: PaymentReceipt, found: Checklist) -> None:
    """The escrow itself names the receipt's other contracts."""
    for name in ("stake_manager", "court", "token"):
        found.expect(
            f"the escrow's {name.replace('_', ' ')} is the receipt's",
            [f"contracts.{name}"],
            expected=getattr(chain.deployment, name),
            found=getattr(receipt.contracts, name),
        )


def check_leaf(chain: Chain, receipt: PaymentReceipt, epoch: Mapping[str, Any], found: Checklist) -> None:
    """The leaf stands under the epoch's root, which was posted when and where the receipt says, in time."""
    leaf, root = receipt.leaf, to_hex(bytes(epoch["root"]))
    found.expect("the root is the epoch's on chain", ["leaf.root", "leaf.epoch_id"], expected=root, found=leaf.root)
    digest = from_hex(receipt.commitment_digest)
    row = Row(receipt.order.requester, receipt.signer, leaf.operator_id, leaf.amount_units, digest)
    proven = Leaf.of_receipt(row, leaf.index, leaf.siblings)
    found.expect(
        "the charge stands under the epoch's root on chain",
        ["leaf.index", "leaf.siblings", "leaf.epoch_id", "leaf.operator_id", "leaf.amount_units", "signer",
         "commitment_digest", "order.requester"],
        expected=True,
        found=proven.stands(bytes(epoch["root"]), epoch["count"]),
    )  # fmt: skip
    posted = _event_in(chain, leaf.post_tx, "EpochPosted")
    found.expect(
        "the named transaction posted the epoch",
        ["leaf.post_tx"],
        expected=leaf.epoch_id,
        found="no post" if posted is None else posted.args["id"],
    )
    node = to_checksum_address(receipt.commitment.node)
    operator_id = as_dict(chain.stakes.functions.nodeKeys(node).call())["operatorId"]
    found.expect(
        "the node is or was a key of the operator that earns",
        ["leaf.operator_id", "commitment.node"],
        expected=operator_id,
        found=leaf.operator_id,
    )
    latest = receipt.order.terms.deadline + chain.deployment.constants.epoch_max_s
    found.expect(
        "the epoch was posted by the order's deadline and EPOCH_MAX",
        ["order.terms.deadline"],
        expected=True,
        found=epoch["postedAt"] <= latest,
    )


def check_settlement(chain: Chain, receipt: PaymentReceipt, epoch: Mapping[str, Any], found: Checklist) -> None:
    """What the receipt says of the settlement is what the chain keeps of it."""
    stated = receipt.settlement
    if stated is None:
        return
    voids, skips = from_hex(stated.void_bits), from_hex(stated.skipped_bits)
    size = (epoch["count"] + 7) // 8
    whole = len(voids) == len(skips) == size
    found.expect(
        "the outcomes hash to what the chain keeps",
        ["settlement.void_bits", "settlement.skipped_bits"],
        expected=f"{epoch['outcomes']:#x}",
        found=f"{outcomes_hash(voids, skips):#x}" if whole else f"bitmaps that are not {size} bytes long",
    )
    settled = _event_in(chain, stated.settle_tx, "EpochSettled")
    found.expect(
        "the named transaction settled the epoch",
        ["settlement.settle_tx"],
        expected=receipt.leaf.epoch_id,
        found="no settlement" if settled is None else settled.args["id"],
    )


def chain_facts(chain: Chain, receipt: PaymentReceipt, epoch: Mapping[str, Any]) -> LeafHistory:
    """What became of the leaf until now, from the events since its epoch was posted."""
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
    """Units given back to the leaf's lane, by the event's name: what gave them back."""
    given_back: Counter[str] = Counter()
    for event in own:
        if event.name in ("Refunded", "RefundedFromBond"):
            given_back[event.name] += event.args["units"]
    return given_back


def _draw(chain: Chain, history: History, receipt: PaymentReceipt) -> int | None:
    """The number that the job drew, of 2^256: it is checked if it lies below its threshold. None before the reveal."""
    seed = seed_of(history, chain.deployment.constants, receipt.leaf.epoch_id, chain.block_hash)
    return None if seed is None else int.from_bytes(keccak(seed + from_hex(receipt.commitment_digest)), "big")


def _event_in(chain: Chain, tx_hash: str, name: str) -> Event | None:
    """The event of a transaction; None where there is no such transaction, or it made no such event."""
    try:
        block = chain.w3.eth.get_transaction_receipt(tx_hash)["blockNumber"]
    except NotKnown:
        return None
    found = (e for e in chain.events(block, block) if e.name == name and to_hex(e.tx_hash) == tx_hash)
    return next(found, None)
