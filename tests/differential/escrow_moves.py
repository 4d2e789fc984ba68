"""Moves that only the escrow sees: right and wrong callers, amounts at the edge of their fields, times a second before,
at and after each window's edge."""

from typing import Any

from hypothesis.stateful import rule

from contracts.model.base import U32, U64, U256, ZERO_ADDRESS
from contracts.model.escrow import EpochStatus
from contracts.protocol.hashing import keccak
from tests.differential import hand
from tests.differential.hand import Draft, Draw
from tests.differential.scene import ALICE, BOB, DATA, FAR, SECOND, SESSION, WHALE, Scene
from tests.differential.twin import CONSTANTS as C


class EscrowMoves(Scene):
    """Lanes, epochs, credits, bond, roles."""

    # ---------------------------------------------------------------- lanes

    @rule(data=DATA)
    def deposit(self, data: Any) -> None:
        """Anyone's money into a lane."""
        draw = Draw(data)
        caller = draw.pick(ALICE, BOB, WHALE, self.twin.wallet)
        self.act(caller, "escrow", "deposit", *self.lane(draw), self.amount(draw))

    @rule(data=DATA)
    def deposit_with_permit(self, data: Any) -> None:
        """A good permit, a bad one, one that is late: the allowance stands, or does not."""
        draw = Draw(data)
        caller, units = draw.pick(ALICE, BOB), self.amount(draw)
        if draw.one_in(3):
            self.act(caller, "token", "approve", self.twin.at.escrow, draw.pick(0, 10**9, U256))
        deadline = self.twin.now + draw.pick(100, 1, 0)
        digest = self.twin.net.token.permit_digest(caller, self.twin.at.escrow, units * C.unit_wei, deadline)
        signature = hand.tampered(draw, hand.sign(caller, digest), digest)
        self.act(caller, "escrow", "depositWithPermit", *self.lane(draw), units, deadline, hand.split(signature))

    @rule(data=DATA)
    def deposit_with_authorization(self, data: Any) -> None:
        """The payer's authorization, brought by anybody, perhaps twice, perhaps to another lane."""
        draw = Draw(data)
        payer, (requester, signer), units = draw.pick(ALICE, BOB, WHALE), self.lane(draw), self.amount(draw)
        salt = draw.below(6).to_bytes(32, "big")
        after, before = draw.pick((0, FAR), (self.twin.now, FAR), (self.twin.now + 1, FAR), (0, self.twin.now + 1))
        if draw.one_in(8):
            after, before = 1 << 47, 1 << 47 | draw.pick(U32, self.twin.block)
        nonce = keccak(b"".join(bytes(12) + bytes.fromhex(who[2:]) for who in (requester, signer)) + salt)
        arguments = payer, self.twin.at.escrow, units * C.unit_wei, after, before, nonce
        digest = self.twin.net.token.receive_digest(*arguments)
        signature = hand.tampered(draw, hand.sign(payer, digest), digest)
        if draw.one_in(8):
            signer = draw.pick(*self.everybody)
        self.act(
            draw.pick(*self.everybody), "escrow", "depositWithAuthorization",
            payer, requester, signer, units, after, before, salt, hand.split(signature),
        )  # fmt: skip

    @rule(data=DATA)
    def open_lane(self, data: Any) -> None:
        """A session lane, or what is none."""
        draw = Draw(data)
        requester = draw.pick(ALICE, BOB, self.twin.wallet)
        signer = draw.pick(SESSION, SECOND, ZERO_ADDRESS, requester) if draw.one_in(2) else SECOND
        expiry = self.twin.now + draw.pick(2000, 50, 1, 2, 0)
        self.act(requester, "escrow", "openLane", signer, expiry, self.amount(draw))
        self.lanes.append((requester, signer))

    @rule(data=DATA)
    def open_lane_with_grant(self, data: Any) -> None:
        """By signature, each nonce once."""
        draw = Draw(data)
        requester = draw.pick(ALICE, self.twin.wallet, BOB)
        signer, units = draw.pick(SECOND, SESSION, requester), self.amount(draw)
        expiry = self.twin.now + draw.pick(2000, 1)
        nonce = self.escrow.nonces.get(requester, 0) + draw.pick(0, 0, 0, 1)
        key = self.twin.wallet_owner if requester == self.twin.wallet else requester
        grant = hand.grant_of(requester, signer, units, expiry, nonce)
        digest = self.escrow.domain.lane_grant_digest(grant)
        signature = hand.tampered(draw, hand.sign(key, digest), digest)
        caller = draw.pick(*self.everybody)
        self.act(caller, "escrow", "openLaneWithGrant", requester, signer, units, expiry, nonce, signature)
        self.lanes.append((requester, signer))

    @rule(data=DATA)
    def notice(self, data: Any) -> None:
        """Given or taken back."""
        draw = Draw(data)
        requester, signer = self.lane(draw)
        if requester in self.everybody:
            self.act(requester, "escrow", draw.pick("giveNotice", "giveNotice", "cancelNotice"), signer)

    @rule(data=DATA)
    def whole_withdrawal(self, data: Any) -> None:
        """Noticed and withdrawn, around both edges of the notice's life."""
        self.notice(data)
        self.withdraw(data)

    @rule(data=DATA)
    def withdraw(self, data: Any) -> None:
        """Around both edges of the notice's life."""
        draw = Draw(data)
        noticed = [key for key, lane in self.escrow.lanes.items() if lane.notice_at and key[0] in self.everybody]
        requester, signer = draw.pick(*noticed) if noticed and not draw.one_in(5) else (ALICE, SESSION)
        lane = self.escrow.lane(requester, signer)
        matures = lane.notice_at + C.notice_s
        seconds = self.when(draw, matures, matures, matures + C.notice_life_s)
        units = draw.pick(lane.balance, 1, 0, min(U64, lane.balance + 1))
        to = draw.pick(requester, BOB, ZERO_ADDRESS, self.twin.at.escrow)
        self.act(requester, "escrow", "withdraw", signer, units, to, seconds=seconds)

    # ---------------------------------------------------------------- epochs

    @rule(data=DATA)
    def post_epoch(self, data: Any) -> None:
        """Some rows, or none."""
        draw = Draw(data)
        self.post(draw, Draft(()) if draw.one_in(3) else self.draft(draw))

    @rule(data=DATA)
    def settle_epoch(self, data: Any) -> None:
        """Any posted one, around the edges of its time."""
        draw = Draw(data)
        epoch_id = draw.pick(*reversed(self.drafts)) if self.drafts and not draw.one_in(12) else 0
        checked = self.escrow.epoch(epoch_id + 1).posted_at + C.check_wait_s
        stranded = self.escrow.epoch(epoch_id).posted_at + C.settle_wait_s
        self.settle(draw, epoch_id, self.when(draw, checked, checked, stranded))

    @rule(data=DATA)
    def whole_epoch(self, data: Any) -> None:
        """Posted, revealed, settled in its time."""
        draw = Draw(data)
        if self.post(draw, self.draft(draw)):
            epoch_id = self.escrow.last_epoch
            self.reveal_seed()
            self.settle(draw, epoch_id, C.check_wait_s + draw.pick(0, 0, 5, -1))

    @rule(data=DATA)
    def settle_one(self, data: Any) -> None:
        """A stranded or skipped leaf, or one that is neither."""
        draw = Draw(data)
        found = self.leaf(draw)
        if found is None:
            return
        proof, outcomes, _ = found
        needed = self.escrow.lane(proof.requester, proof.signer).charged + proof.amount_units
        cap = hand.cap_proof(draw, self.escrow, proof.requester, proof.signer, needed)
        seconds = 1
        if self.escrow.epoch_status(proof.epoch_id) != EpochStatus.SETTLED:
            seconds = self.when(draw, self.escrow.epoch(proof.epoch_id).posted_at + C.settle_wait_s)
        self.act(draw.pick(*self.everybody), "escrow", "settleOne", proof, outcomes, cap, seconds=seconds)

    # ---------------------------------------------------------------- credits, bond, roles

    @rule(data=DATA)
    def claim(self, data: Any) -> None:
        """To the payout address, or to the stake."""
        draw = Draw(data)
        earners = [number for number, credit in self.escrow.credits.items() if credit.earned != credit.claimed]
        number = draw.pick(*earners) if earners and not draw.one_in(6) else draw.pick(1, 2, 3, 0, 99)
        if draw.one_in(3):
            owner = self.twin.net.stakes.owner_of(number)
            self.act(self.by(draw, owner if owner in self.everybody else ALICE), "escrow", "claimToStake", number)
        else:
            self.act(draw.pick(*self.everybody), "escrow", "claim", number)

    @rule(data=DATA)
    def bond(self, data: Any) -> None:
        """In and out; the whole of it leaves when nothing was charged lately."""
        draw = Draw(data)
        settler, bond = self.escrow.settler, self.escrow.bond
        move = draw.pick("bondSettler", "bondSettler", "unbondSettler", "withdrawBond", "withdrawBond")
        if move == "bondSettler":
            caller = self.by(draw, draw.pick(settler, WHALE))
            self.act(caller, "escrow", move, self.amount(draw))
        elif move == "unbondSettler":
            if draw.one_in(3):
                self.act(self.by(draw, settler), "escrow", move)
        else:
            seconds = self.when(draw, bond.unbond_at + C.unbond_s, bond.bucket_start + 2 * C.charge_window_s)
            self.act(self.by(draw, settler), "escrow", move, seconds=seconds)

    @rule(data=DATA)
    def bond_leaves(self, data: Any) -> None:
        """The settler gives up: no rows any more; the bond goes once its time is over."""
        draw = Draw(data)
        if not draw.one_in(3):
            return
        settler = self.escrow.settler
        if draw.one_in(2):
            self.post(draw, self.draft(draw))
        self.act(settler, "escrow", "unbondSettler")
        self.post(draw, self.draft(draw))
        wait = C.unbond_s + draw.pick(0, -2, -1)
        if draw.one_in(2):
            self.act(settler, "escrow", "withdrawFees", seconds=wait - 100)
            self.settle_one(data)
            wait = 100
        self.act(settler, "escrow", "withdrawBond", seconds=wait)

    @rule(data=DATA)
    def roles(self, data: Any) -> None:
        """Guardian and governor."""
        draw = Draw(data)
        at = self.twin.at
        move = draw.pick("unpause", "unpause", "pause", "setSettler", "resetBeacon", "withdrawFees")
        if move == "setSettler":
            settler = draw.pick(at.settler, at.settler, self.twin.wallet, ZERO_ADDRESS, BOB)
            self.act(self.by(draw, at.governor), "escrow", move, settler)
        elif move == "resetBeacon":
            tip = draw.pick(self.twin.beacons[0], self.twin.beacons[200])
            seconds = self.when(draw, self.escrow.epoch(self.escrow.last_epoch).posted_at + C.settle_wait_s)
            self.act(self.by(draw, at.governor), "escrow", move, tip, seconds=seconds)
        elif move == "withdrawFees":
            self.act(draw.pick(*self.everybody), "escrow", move)
        else:
            self.act(self.by(draw, draw.pick(at.guardian, at.governor)), "escrow", move)

    @rule(data=DATA)
    def donate(self, data: Any) -> None:
        """Tokens sent to a contract are nobody's."""
        draw = Draw(data)
        at = self.twin.at
        receiver = draw.pick(at.escrow, at.stakes, at.contests)
        self.act(draw.pick(ALICE, BOB), "token", "transfer", receiver, draw.pick(1, C.unit_wei, 2**90))

    @rule(data=DATA)
    def look(self, data: Any) -> None:
        """Derived views at any moment."""
        draw = Draw(data)
        epoch_id = draw.below(self.escrow.last_epoch + 2)
        self.act(ALICE, "escrow", "epochStatus", epoch_id)
        found = self.leaf(draw)
        if found is not None:
            proof, outcomes, _ = found
            self.act(ALICE, "escrow", "leafStatus", proof, outcomes)
            self.act(ALICE, "contests", "contestStatus", proof.epoch_id, proof.index)
        for case_id in self.twin.net.court.cases:
            self.act(ALICE, "court", "ruling", case_id)
        account = 1 + draw.below(6)
        self.act(ALICE, "stakes", "payoutOf", account)
        self.act(ALICE, "stakes", "activeStakeAt", account, max(0, self.twin.block - draw.below(30)))
        self.act(ALICE, "stakes", "totalActiveStakeAt", max(0, self.twin.block - draw.below(30)))
