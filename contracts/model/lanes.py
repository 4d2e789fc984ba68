"""Lanes in the escrow (SPEC section 6): deposits, notices, withdrawals, charges."""

from dataclasses import dataclass, field

from contracts.model.base import (
    U64,
    ZERO_ADDRESS,
    Chain,
    Value,
    compact_signer_of,
    hash_words,
    refuse_if,
    signer_of,
)
from contracts.model.token import Token, UnitToken
from contracts.protocol.constants import Constants
from contracts.protocol.packing import CapProof, SkipReason
from contracts.protocol.records import LaneGrant
from contracts.protocol.typed_data import Domain, order_struct_hash


@dataclass
class Lane:
    """The lane of one (requester, signer)."""

    balance: int = 0
    charged: int = 0
    cap_proven: int = 0
    notice_at: int = 0
    expiry: int = 0


@dataclass(kw_only=True)
class Lanes:
    """State and functions of JobEscrow's lanes."""

    chain: Chain
    address: str
    token: Token
    constants: Constants
    wallets: dict[str, str]
    """Contract wallets that answer ERC-1271 for their owner's key."""
    lanes: dict[tuple[str, str], Lane] = field(default_factory=dict)
    nonces: dict[str, int] = field(default_factory=dict)
    balances_units: int = 0
    credits_units: int = 0
    fees_units: int = 0
    paused: bool = False

    # ---- requesters

    def open_lane(self, caller: str, signer: str, expiry: int, units: int) -> None:
        """Sets a session lane's expiry and deposits into it."""
        self._open_lane(caller, signer, expiry, units)

    def open_lane_with_grant(
        self, caller: str, requester: str, signer: str, units: int, expiry: int, nonce: int, signature: bytes
    ) -> None:
        """The same by the requester's signature, with each nonce once."""
        expected = self.nonces.get(requester, 0)
        refuse_if(nonce != expected, "InvalidAccountNonce", requester, expected)
        self.nonces[requester] = nonce + 1
        grant = LaneGrant(requester=requester, signer=signer, amount=units, expiry=expiry, nonce=nonce)
        digest = self.domain.lane_grant_digest(grant)
        found = signer_of(digest, signature)
        signed = found != ZERO_ADDRESS and found in (requester, self.wallets.get(requester))
        refuse_if(not signed, "JobEscrow_GrantNotSigned", requester, digest)
        self._open_lane(requester, signer, expiry, units)

    def deposit(self, caller: str, requester: str, signer: str, units: int) -> None:
        """Deposits anyone's money into anyone's lane."""
        self._book_deposit(caller, requester, signer, units)
        self._unit_token.pull(caller, units)

    def deposit_with_permit(
        self, caller: str, requester: str, signer: str, units: int, deadline: int, signature: bytes
    ) -> None:
        """Deposits with a permit. It may fail if the allowance suffices."""
        self.token.try_permit(caller, self.address, units * self.constants.unit_wei, deadline, signature)
        self.deposit(caller, requester, signer, units)

    def deposit_with_authorization(
        self, caller: str, payer: str, requester: str, signer: str, units: int,
        after: int, before: int, salt: bytes, signature: bytes,
    ) -> None:  # fmt: skip
        """Deposits with the payer's authorization, whose nonce names the lane."""
        self._book_deposit(payer, requester, signer, units)
        nonce = hash_words(requester, signer, salt)
        amount = units * self.constants.unit_wei
        self.token.receive_with_authorization(self.address, payer, amount, after, before, nonce, signature)

    def give_notice(self, caller: str, signer: str) -> None:
        """Starts the wait before a withdrawal."""
        self.lane(caller, signer).notice_at = self.chain.now
        self._emit("NoticeGiven", caller, signer, self.chain.now)

    def cancel_notice(self, caller: str, signer: str) -> None:
        """Cancels the notice."""
        self.lane(caller, signer).notice_at = 0
        self._emit("NoticeCancelled", caller, signer)

    def withdraw(self, caller: str, signer: str, units: int, to: str) -> None:
        """Pays out while the notice is mature, once per notice."""
        lane, now = self.lane(caller, signer), self.chain.now
        matures_at = lane.notice_at + self.constants.notice_s
        mature = lane.notice_at != 0 and matures_at <= now < matures_at + self.constants.notice_life_s
        refuse_if(not mature, "JobEscrow_NoticeNotMature", lane.notice_at, now)
        refuse_if(units > lane.balance, "JobEscrow_BalanceTooLow", lane.balance, units)
        lane.balance -= units
        lane.notice_at = 0
        self.balances_units -= units
        self._emit("Withdrawn", caller, signer, to, units)
        self._unit_token.push(to, units)

    # ---- views

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of signatures for it."""
        return Domain(self.token.chain_id, self.address)

    def lane(self, requester: str, signer: str) -> Lane:
        """A lane; empty if it was never used."""
        return self.lanes.setdefault((requester, signer), Lane())

    # ---- inside

    @property
    def _unit_token(self) -> UnitToken:
        return UnitToken(self.token, self.address, self.constants.unit_wei)

    def _emit(self, name: str, *values: Value) -> None:
        self.chain.emit(self.address, name, *values)

    def _held_units(self) -> int:
        return self.balances_units + self.credits_units + self.fees_units

    def _open_lane(self, requester: str, signer: str, expiry: int, units: int) -> None:
        nobody = signer in (ZERO_ADDRESS, requester)
        refuse_if(nobody, "JobEscrow_NotASessionSigner", requester, signer)
        refuse_if(expiry <= self.chain.now, "JobEscrow_ExpiryNotAhead", expiry, self.chain.now)
        self.lane(requester, signer).expiry = expiry
        self._emit("LaneOpened", requester, signer, expiry)
        if units > 0:
            self._book_deposit(requester, requester, signer, units)
            self._unit_token.pull(requester, units)

    def _book_deposit(self, payer: str, requester: str, signer: str, units: int) -> None:
        refuse_if(self.paused, "JobEscrow_IsPaused")
        unopened = requester != signer and self.lane(requester, signer).expiry == 0
        refuse_if(unopened, "JobEscrow_LaneNotOpened", requester, signer)
        self._add_balance(requester, signer, units)
        self._emit("Deposited", requester, signer, payer, units)

    def _add_balance(self, requester: str, signer: str, units: int) -> None:
        held = self._held_units()
        refuse_if(held + units > U64, "JobEscrow_TooMuchHeld", held, units)
        self.lane(requester, signer).balance += units
        self.balances_units += units

    def _charge(self, requester: str, signer: str, units: int, proof: CapProof | None) -> SkipReason | None:
        """Charges a lane, or returns the first reason not to, in the order of the codes."""
        lane = self.lane(requester, signer)
        proven = lane.cap_proven
        if units > lane.balance:
            return SkipReason.BALANCE
        if lane.charged + units > proven:
            if proof is None or lane.charged + units > proof.cap:
                return SkipReason.CAP
            digest = self.domain.digest(order_struct_hash(requester, proof.cap, proof.terms_hash))
            found = compact_signer_of(digest, proof.r, proof.vs)
            if found == ZERO_ADDRESS or found != signer:
                return SkipReason.SIGNATURE
            proven = proof.cap
        if lane.expiry != 0 and self.chain.now > lane.expiry + self.constants.notice_s:
            return SkipReason.EXPIRED
        lane.balance -= units
        lane.charged += units
        lane.cap_proven = proven
        return None
