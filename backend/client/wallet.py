"""A requester's money: into a lane, and out of it after notice. Every call is the requester's own transaction."""

import time
from dataclasses import dataclass

from eth_account import Account
from eth_utils.address import to_checksum_address
from web3.exceptions import BadFunctionCallOutput

from backend.client.amounts import TokenScale
from contracts.onchain.chain import Chain
from contracts.onchain.errors import Reverted
from contracts.onchain.reverts import explain
from contracts.onchain.sender import Sender
from contracts.protocol.signing import Signer

_PERMIT_LIFE_S = 3600
_PERMIT_TYPE = {
    "Permit": [
        {"name": "owner", "type": "address"},
        {"name": "spender", "type": "address"},
        {"name": "value", "type": "uint256"},
        {"name": "nonce", "type": "uint256"},
        {"name": "deadline", "type": "uint256"},
    ]
}


@dataclass(frozen=True)
class LaneState:
    """A lane on chain. Units and seconds; `withdrawable_from` and `_until` are None without notice."""

    requester: str
    signer: str
    balance: int
    charged: int
    cap_proven: int
    expiry: int
    withdrawable_from: int | None
    withdrawable_until: int | None


class Wallet:
    """The requester's key on a chain. `signer` is the wallet itself, also of its own lane."""

    def __init__(self, chain: Chain, signer: Signer) -> None:
        self._chain, self._key = chain, signer
        self._sender = Sender(chain.w3, signer)
        self._escrow = chain.escrow.functions
        self.address = signer.address

    def scale(self) -> TokenScale:
        """How the deployment's token counts."""
        token = self._chain.token.functions
        with explain():
            decimals, symbol = token.decimals().call(), token.symbol().call()
        return TokenScale(decimals, self._chain.deployment.constants.unit_wei, symbol)

    def lane(self, lane_signer: str | None = None) -> LaneState:
        """A lane of this requester, its own by default."""
        signer = (lane_signer or self.address).lower()
        with explain():
            found = self._escrow.lanes(self._sender.address, to_checksum_address(signer)).call()
        balance, charged, cap_proven, notice_at, expiry = found
        constants = self._chain.deployment.constants
        ripe = notice_at + constants.notice_s if notice_at else None
        return LaneState(
            requester=self.address,
            signer=signer,
            balance=balance,
            charged=charged,
            cap_proven=cap_proven,
            expiry=expiry,
            withdrawable_from=ripe,
            withdrawable_until=None if ripe is None else ripe + constants.notice_life_s,
        )

    def lanes(self) -> list[LaneState]:
        """The own lane, and every session lane that this requester opened."""
        first, last = self._chain.deployment.first_block, self._chain.head().number
        opened = {
            event.args["signer"]
            for event in self._chain.events(first, last)
            if event.name == "LaneOpened" and event.args["requester"] == self.address
        }
        return [self.lane(signer) for signer in (self.address, *sorted(opened))]

    def open_lane(self, lane_signer: str, expiry: int) -> None:
        """Opens a lane for a session key until a time, or moves that time."""
        self._sender.call(self._escrow.openLane(to_checksum_address(lane_signer), expiry, 0))

    def deposit(self, units: int, lane_signer: str | None = None) -> None:
        """Moves tokens into a lane, in one transaction where the token knows permits (EIP-2612)."""
        signer = to_checksum_address(lane_signer or self.address)
        try:
            with explain():
                nonce = self._chain.token.functions.nonces(self._sender.address).call()
        except (Reverted, BadFunctionCallOutput):  # an older token: two transactions
            self._sender.call(self._chain.token.functions.approve(self._chain.escrow.address, self._wei(units)))
            self._sender.call(self._escrow.deposit(self._sender.address, signer, units))
            return
        deadline = int(time.time()) + _PERMIT_LIFE_S
        v, r, s = self._permit(self._wei(units), nonce, deadline)
        self._sender.call(self._escrow.depositWithPermit(self._sender.address, signer, units, deadline, v, r, s))

    def give_notice(self, lane_signer: str | None = None) -> LaneState:
        """Starts the wait for a withdrawal. Orders of the lane are refused from now on, until it lapses."""
        self._sender.call(self._escrow.giveNotice(to_checksum_address(lane_signer or self.address)))
        return self.lane(lane_signer)

    def cancel_notice(self, lane_signer: str | None = None) -> None:
        """Takes a notice back."""
        self._sender.call(self._escrow.cancelNotice(to_checksum_address(lane_signer or self.address)))

    def withdraw(self, units: int, to: str | None = None, lane_signer: str | None = None) -> None:
        """Moves tokens out of a lane whose notice is ripe."""
        signer, target = (to_checksum_address(address or self.address) for address in (lane_signer, to))
        self._sender.call(self._escrow.withdraw(signer, units, target))

    def _wei(self, units: int) -> int:
        return units * self._chain.deployment.constants.unit_wei

    def _permit(self, value_wei: int, nonce: int, deadline: int) -> tuple[int, bytes, bytes]:
        """An EIP-2612 permit for the escrow, in the domain that the token names (EIP-5267)."""
        with explain():
            _, name, version, chain_id, contract, _, _ = self._chain.token.functions.eip712Domain().call()
        signed = Account.sign_typed_data(
            self._key.private_key(),
            domain_data={"name": name, "version": version, "chainId": chain_id, "verifyingContract": contract},
            message_types=_PERMIT_TYPE,
            message_data={
                "owner": self._sender.address,
                "spender": self._chain.escrow.address,
                "value": value_wei,
                "nonce": nonce,
                "deadline": deadline,
            },
        )
        return signed.v, signed.r.to_bytes(32, "big"), signed.s.to_bytes(32, "big")
