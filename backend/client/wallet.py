"""A requester's money: into lanes, and out of them after notice.

Every call is the requester's own transaction. authorizations.py has what anybody may submit for it.
"""

from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from backend.client.authorizations import SignedDeposit, SignedGrant, parts, sign_deposit, sign_grant, sign_permit
from contracts.onchain.chain import Chain
from contracts.onchain.errors import Reverted, WrongReply
from contracts.onchain.lanes import read_lane
from contracts.onchain.sender import Sender
from contracts.protocol.amounts import TokenScale
from contracts.protocol.errors import BadAmount
from contracts.protocol.lane import Lane
from contracts.protocol.signing import Signer


@dataclass(frozen=True)
class WalletHoldings:
    """A wallet's money outside its lanes: whole units of the token, and wei of ether for gas."""

    units: int
    ether_wei: int


def scale_of(chain: Chain) -> TokenScale:
    """The scale of a deployment's token."""
    token = chain.token.functions
    decimals, symbol = token.decimals().call(), token.symbol().call()
    return TokenScale(decimals, chain.deployment.constants.unit_wei, symbol)


class Wallet:
    """A requester's key on a chain. `signer` is the wallet's key and signs in the wallet's own lane."""

    def __init__(self, chain: Chain, signer: Signer) -> None:
        self._chain, self._key = chain, signer
        self._sender = Sender(chain.w3, signer)
        self._escrow = chain.escrow.functions
        self.address, self.constants = signer.address, chain.deployment.constants

    def scale(self) -> TokenScale:
        return scale_of(self._chain)

    def holdings(self) -> WalletHoldings:
        """The wallet's tokens outside its lanes."""
        ether_wei = self._chain.w3.eth.get_balance(self._sender.address)
        tokens_wei = self._chain.balance_wei(self.address)
        return WalletHoldings(tokens_wei // self.constants.unit_wei, ether_wei)

    def lane(self, lane_signer: str | None = None) -> Lane:
        """A lane of this requester, its own by default."""
        return read_lane(self._chain, self.address, lane_signer or self.address)

    def lanes(self) -> dict[str, Lane]:
        """The wallet's own lane and every session lane that it opened, by signer."""
        first, last = self._chain.deployment.first_block, self._chain.head().number
        opened = {
            event.args["signer"]
            for event in self._chain.events(first, last)
            if event.name == "LaneOpened" and event.args["requester"] == self.address
        }
        return {signer: self.lane(signer) for signer in (self.address, *sorted(opened))}

    def open_lane(self, lane_signer: str, expiry: int) -> None:
        """Opens a lane for a session key until `expiry`, or changes its expiry."""
        self._sender.call(self._escrow.openLane(to_checksum_address(lane_signer), expiry, 0))

    def deposit(self, units: int, lane_signer: str | None = None) -> None:
        """Moves tokens into a lane, in one transaction if the token has permits (EIP-2612). Raises BadAmount."""
        if units < 1:
            raise BadAmount(text=str(units), why="units cannot be deposited; give at least 1")
        signer = to_checksum_address(lane_signer or self.address)
        try:
            permit = sign_permit(self._chain, self._key, units)
        except (Reverted, WrongReply):  # a token without permits: two transactions
            wei = units * self.constants.unit_wei
            self._sender.call(self._chain.token.functions.approve(self._chain.escrow.address, wei))
            self._sender.call(self._escrow.deposit(self._sender.address, signer, units))
            return
        lane, signed = (self._sender.address, signer, units), parts(permit.signature)
        self._sender.call(self._escrow.depositWithPermit(*lane, permit.deadline, *signed))

    def grant_lane(self, lane_signer: str, units: int, expiry: int) -> SignedGrant:
        """Signs a grant of a lane with `units` for a session key, until `expiry`. `bring_grant` opens the lane."""
        return sign_grant(self._chain, self._key, lane_signer, units, expiry)

    def deposit_with_authorization(self, units: int, lane_signer: str | None = None) -> SignedDeposit:
        """Signs a deposit into a lane of this wallet (EIP-3009). `bring_deposit` makes it."""
        return sign_deposit(self._chain, self._key, units, self.address, lane_signer or self.address)

    def give_notice(self, lane_signer: str | None = None) -> Lane:
        """Starts the notice for a withdrawal. The lane's orders are refused until the notice lapses."""
        self._sender.call(self._escrow.giveNotice(to_checksum_address(lane_signer or self.address)))
        return self.lane(lane_signer)

    def cancel_notice(self, lane_signer: str | None = None) -> None:
        self._sender.call(self._escrow.cancelNotice(to_checksum_address(lane_signer or self.address)))

    def withdraw(self, units: int, to: str | None = None, lane_signer: str | None = None) -> None:
        """Moves tokens out of a lane whose notice is mature."""
        signer, target = (to_checksum_address(address or self.address) for address in (lane_signer, to))
        self._sender.call(self._escrow.withdraw(signer, units, target))
