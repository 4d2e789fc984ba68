"""Computes every balance again from events and calldata, as JobEscrow should have (SPEC section 6).

Shares no code with the other two folds of money, `backend/domain/ledger.py` and `contracts/model`, on purpose: each
catches the mistakes of the others. Addresses of lanes are lower-case hex, amounts are units.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import as_dict
from contracts.onchain.events import Event
from contracts.protocol.errors import BadSignature
from contracts.protocol.packing import CapProof, LaneGroup, SkipReason, from_bits
from contracts.protocol.pricing import fee_units
from contracts.protocol.signing import expand, recover
from contracts.protocol.typed_data import order_struct_hash
from verifier.audit.evidence import AuditEvidence

LaneName = tuple[str, str]
Place = tuple[int, int]
"""Epoch and row."""


@dataclass
class ReplayedLane:
    """A lane as the contract's slot has it, without its notice."""

    balance: int = 0
    charged: int = 0
    cap_proven: int = 0
    expiry: int = 0


@dataclass(frozen=True)
class Payment:
    """A leaf's charge: its event's position among all, and when the window for contests began, Unix seconds."""

    position: tuple[int, int]
    charged_at: int


@dataclass
class Books:
    """All parties' balances. `paid`: each charged leaf. `refunds`: the events that refunded a charge, in order."""

    lanes: dict[LaneName, ReplayedLane] = field(default_factory=lambda: defaultdict(ReplayedLane))
    earned: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    claimed: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    fees: int = 0
    bond: int = 0
    charged: int = 0
    paid: dict[Place, Payment] = field(default_factory=dict)
    refunds: dict[Place, list[Event]] = field(default_factory=lambda: defaultdict(list))
    skipped: set[Place] = field(default_factory=set)

    @property
    def held(self) -> int:
        """Units that the escrow owes."""
        credits = sum(self.earned.values()) - sum(self.claimed.values())
        return sum(lane.balance for lane in self.lanes.values()) + credits + self.fees + self.bond


def replay(evidence: AuditEvidence) -> Books:
    """Folds the escrow's events in order, settlements from their calldata. Notes where the chain differs."""
    return _Replay(evidence).run()


class _Replay:
    def __init__(self, evidence: AuditEvidence) -> None:
        self._evidence, self._findings = evidence, evidence.findings
        self._books = Books()
        self._skips: list[Event] = []

    def run(self) -> Books:
        for event in self._evidence.history.events:
            if event.contract == "JobEscrow":
                self._fold(event)
        return self._books

    def _fold(self, event: Event) -> None:
        books, a = self._books, event.args
        match event.name:
            case "LaneOpened":
                self._lane(event).expiry = a["expiry"]
            case "Deposited":
                self._lane(event).balance += a["units"]
            case "Refunded" | "RefundedFromBond":
                self._refund(event)
            case "Withdrawn":
                self._lane(event).balance -= a["units"]
            case "LaneSkipped":
                self._skips.append(event)
            case "EpochSettled":
                self._settle(event)
            case "LeafSettled":
                self._settle_one(event)
            case "Claimed" | "ClaimedToStake":
                books.claimed[a["operatorId"]] += a["units"]
            case "FeesWithdrawn":
                books.fees -= a["units"]
            case "SettlerBonded":
                books.bond += a["units"]
            case "SettlerUnbonded":
                books.bond -= a["units"]

    def _lane(self, event: Event) -> ReplayedLane:
        return self._books.lanes[event.args["requester"], event.args["signer"]]

    def _refund(self, event: Event) -> None:
        """Refunds go to the lane that paid, and are no more than the charge."""
        a, books, expect = event.args, self._books, self._findings.expect
        place = a["epochId"], a["index"]
        where = {"epoch": place[0], "row": place[1]}
        leaf = self._evidence.leaf(*place)
        expect("the refunded row was charged", True, place in books.paid, **where)
        if leaf is not None:
            payer, receiver = (leaf.requester, leaf.signer), (a["requester"], a["signer"])
            expect("the refund goes to the lane that paid", payer, receiver, **where)
            refunded = a["units"] + sum(event.args["units"] for event in books.refunds[place])
            expect("no more is refunded than was charged", True, refunded <= leaf.amount_units, **where)
        books.refunds[place].append(event)
        self._lane(event).balance += a["units"]
        if event.name == "RefundedFromBond":
            books.bond -= a["units"]
            expect("the settler's bond after the refund", books.bond, a["bondUnits"], **where)

    # ------------------------------------------------------------ whole epochs

    def _settle(self, event: Event) -> None:
        epoch_id, skips = event.args["id"], self._skips
        self._skips = []
        epoch = self._evidence.packed.get(epoch_id)
        if epoch is None:
            return
        now = self._evidence.history.settled[epoch_id].timestamp
        gross: dict[int, int] = defaultdict(int)
        skipped = from_bits(event.args["skippedBits"], len(epoch.rows))
        first = charged = 0
        for group in epoch.groups:
            rows = {first + i: row for i, row in enumerate(group.rows)}
            payable = {i: row for i, row in rows.items() if i not in epoch.void}
            total = sum(row.amount_units for row in payable.values())
            reason = self._charge((group.requester, group.signer), total, group.proof, now)
            said = skips.pop(0).args["reason"] if first in skipped and skips else None
            rule = "the lane was skipped for the right reason (None: it was charged)"
            self._findings.expect(rule, reason, said, epoch=epoch_id, row=first)
            self._check_proof(group, reason, epoch_id, first)
            if reason is None:
                charged += total
                for index, row in payable.items():
                    gross[row.operator_id] += row.amount_units
                    posted = self._evidence.history.epochs[epoch_id]
                    self._books.paid[epoch_id, index] = Payment(event.position, posted.timestamp)
            else:
                self._books.skipped |= {(epoch_id, index) for index in rows}
            first += len(group.rows)
        self._credit(event, gross, charged)

    def _credit(self, event: Event, gross: dict[int, int], charged: int) -> None:
        epoch_id, a = event.args["id"], event.args
        fees = {operator: fee_units(units, self._evidence.constants.fee_bps) for operator, units in gross.items()}
        for operator, units in gross.items():
            self._books.earned[operator] += units - fees[operator]
        self._books.fees += sum(fees.values())
        self._books.charged += charged
        expect = self._findings.expect
        expect("the lanes were charged the sum of their paid rows", charged, a["chargedUnits"], epoch=epoch_id)
        expect("the fees are FEE_BPS of what operators grossed", sum(fees.values()), a["feeUnits"], epoch=epoch_id)
        count = self._evidence.history.epochs[epoch_id].count
        skipped = {index for epoch, index in self._books.skipped if epoch == epoch_id}
        told = set(from_bits(a["skippedBits"], count))
        expect("the skipped rows are those of skipped lanes", sorted(skipped), sorted(told), epoch=epoch_id)

    def _charge(self, name: LaneName, total: int, proof: CapProof | None, now: int) -> SkipReason | None:
        """Charges a lane as the contract does, or returns why not."""
        lane = self._books.lanes[name]
        if total > lane.balance:
            return SkipReason.BALANCE
        cap_proven = lane.cap_proven
        if lane.charged + total > cap_proven:
            if proof is None or lane.charged + total > proof.cap:
                return SkipReason.CAP
            if not self._is_signed(name, proof):
                return SkipReason.SIGNATURE
            cap_proven = proof.cap
        if lane.expiry and now > lane.expiry + self._evidence.constants.notice_s:
            return SkipReason.EXPIRED
        lane.balance -= total
        lane.charged += total
        lane.cap_proven = cap_proven
        return None

    def _is_signed(self, name: LaneName, proof: CapProof) -> bool:
        requester, signer = name
        digest = self._evidence.domain.digest(order_struct_hash(requester, proof.cap, proof.terms_hash))
        try:
            return recover(digest, expand(proof.r, proof.vs)) == signer
        except BadSignature:
            return False

    def _check_proof(self, group: LaneGroup, reason: SkipReason | None, epoch_id: int, first: int) -> None:
        """A cap in the calldata is signed, whether or not the contract had to check it."""
        if group.proof is not None and reason is not SkipReason.SIGNATURE:
            signed = self._is_signed((group.requester, group.signer), group.proof)
            self._findings.expect("the cap shown for the lane is signed by it", True, signed, epoch=epoch_id, row=first)

    # ------------------------------------------------------------ leaf by leaf

    def _settle_one(self, event: Event) -> None:
        a = event.args
        place, amount = (a["epochId"], a["index"]), a["amountUnits"]
        expect = self._findings.expect
        leaf = self._evidence.leaf(*place)
        found = (a["requester"], a["signer"], a["operatorId"], amount)
        wanted = (leaf.requester, leaf.signer, leaf.operator_id, leaf.amount_units) if leaf else None
        expect("the leaf paid alone is the posted leaf", wanted, found, epoch=place[0], row=place[1])
        expect("a leaf is paid once", False, place in self._books.paid, epoch=place[0], row=place[1])
        now = self._evidence.chain.block(event.block_number).timestamp
        reason = self._charge((a["requester"], a["signer"]), amount, self._cap_proof(event), now)
        expect("the lane covered the leaf paid alone", None, reason, epoch=place[0], row=place[1])
        fee = fee_units(amount, self._evidence.constants.fee_bps)
        expect("the fee of the leaf paid alone", fee, a["feeUnits"], epoch=place[0], row=place[1])
        self._books.earned[a["operatorId"]] += amount - fee
        self._books.fees += fee
        self._books.charged += amount
        self._books.paid[place] = Payment(event.position, now)

    def _cap_proof(self, event: Event) -> CapProof | None:
        """The cap in the calldata, if the escrow was called directly."""
        chain = self._evidence.chain
        call = chain.w3.eth.get_transaction(event.tx_hash)
        if call["to"] != to_checksum_address(chain.deployment.escrow):
            return None
        _, arguments = chain.escrow.decode_function_input(call["input"])
        given = as_dict(arguments["capProof"])
        if not given["cap"]:
            return None
        return CapProof(given["cap"], bytes(given["termsHash"]), bytes(given["r"]), bytes(given["vs"]))
