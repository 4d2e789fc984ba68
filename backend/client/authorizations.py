"""Lane grants, permits and authorized deposits, which a wallet signs and anyone may submit to the chain.

The submitter pays the gas and cannot redirect anything: each names its lane and amount, and works once.
"""

import secrets
import time
from typing import Annotated, Any

from eth_utils.address import to_checksum_address
from pydantic import Field

from backend.client.errors import GrantSpent
from contracts.onchain.chain import Chain
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.records import Address, Bytes32, LaneGrant, Record, Signature, Uint40, Units64
from contracts.protocol.signing import Signer

LIFE_S = 3600
"""How long a permit or an authorized deposit is valid."""

_Wei = Annotated[int, Field(strict=True, ge=0, lt=2**256)]
_PERMIT = {"owner": "address", "spender": "address", "value": "uint256", "nonce": "uint256", "deadline": "uint256"}
_RECEIVE = {
    "from": "address", "to": "address", "value": "uint256", "validAfter": "uint256", "validBefore": "uint256",
    "nonce": "bytes32",
}  # fmt: skip


class Permit(Record):
    """An EIP-2612 permit for the escrow."""

    value_wei: _Wei
    deadline: Uint40
    signature: Signature


class SignedGrant(Record):
    """A lane for a session key: the requester's grant, and the permit for its money, if there is any."""

    grant: LaneGrant
    signature: Signature
    permit: Permit | None


class SignedDeposit(Record):
    """An EIP-3009 authorization to receive, bound to one lane by its nonce (`salt` is part of it)."""

    payer: Address
    requester: Address
    signer: Address
    units: Units64
    valid_before: Uint40
    salt: Bytes32
    signature: Signature


def sign_permit(chain: Chain, key: Signer, units: int) -> Permit:
    """Lets the escrow take `units` of this wallet within the next hour. Raises Reverted for a token without permits."""
    owner = to_checksum_address(key.address)
    nonce = chain.token.functions.nonces(owner).call()
    value, deadline = units * chain.deployment.constants.unit_wei, int(time.time()) + LIFE_S
    message = {"owner": owner, "spender": chain.escrow.address, "value": value, "nonce": nonce, "deadline": deadline}
    return Permit(value_wei=value, deadline=deadline, signature=_sign_token(chain, key, "Permit", _PERMIT, message))


def sign_grant(chain: Chain, key: Signer, lane_signer: str, units: int, expiry: int) -> SignedGrant:
    """Grants `lane_signer` a lane of this wallet with `units`, until `expiry`. Grants work in the order of signing."""
    nonce = chain.escrow.functions.nonces(to_checksum_address(key.address)).call()
    grant = LaneGrant(requester=key.address, signer=lane_signer.lower(), amount=units, expiry=expiry, nonce=nonce)
    signature = key.sign(chain.deployment.domain.lane_grant_digest(grant))
    return SignedGrant(grant=grant, signature=signature, permit=sign_permit(chain, key, units) if units else None)


def bring_grant(chain: Chain, sender: Sender, signed: SignedGrant) -> None:
    """Opens the lane of a grant. Somebody may have submitted its permit before. Raises GrantSpent, Reverted."""
    g, permit = signed.grant, signed.permit
    owner = to_checksum_address(g.requester)
    allowance = chain.token.functions.allowance(owner, chain.escrow.address).call()
    next_nonce = chain.escrow.functions.nonces(owner).call()
    if g.nonce != next_nonce:
        raise GrantSpent(nonce=g.nonce, next_nonce=next_nonce)
    if permit is not None and allowance < permit.value_wei:
        v, r, s = parts(permit.signature)
        allow = chain.token.functions.permit(owner, chain.escrow.address, permit.value_wei, permit.deadline, v, r, s)
        sender.call(allow)
    lane = (owner, to_checksum_address(g.signer), g.amount, g.expiry, g.nonce)
    sender.call(chain.escrow.functions.openLaneWithGrant(*lane, from_hex(signed.signature)))


def sign_deposit(chain: Chain, key: Signer, units: int, requester: str, lane_signer: str) -> SignedDeposit:
    """Moves `units` of this wallet into a lane when somebody submits it, within the next hour."""
    salt, before = secrets.token_bytes(32), int(time.time()) + LIFE_S
    names = (to_checksum_address(requester), to_checksum_address(lane_signer))
    message = {
        "from": to_checksum_address(key.address),
        "to": chain.escrow.address,
        "value": units * chain.deployment.constants.unit_wei,
        "validAfter": 0,
        "validBefore": before,
        "nonce": keccak(b"".join(bytes(12) + from_hex(name) for name in names) + salt),
    }
    return SignedDeposit(
        payer=key.address,
        requester=requester.lower(),
        signer=lane_signer.lower(),
        units=units,
        valid_before=before,
        salt=to_hex(salt),
        signature=_sign_token(chain, key, "ReceiveWithAuthorization", _RECEIVE, message),
    )


def bring_deposit(chain: Chain, sender: Sender, signed: SignedDeposit) -> None:
    """Deposits what the payer authorized. Raises Reverted, e.g. if it was submitted before."""
    lane = [to_checksum_address(name) for name in (signed.payer, signed.requester, signed.signer)]
    rest = (signed.units, 0, signed.valid_before, from_hex(signed.salt), *parts(signed.signature))
    sender.call(chain.escrow.functions.depositWithAuthorization(*lane, *rest))


def _sign_token(chain: Chain, key: Signer, name: str, fields: dict[str, str], message: dict[str, Any]) -> str:
    """Signs in the token's own domain (EIP-5267)."""
    from eth_account import Account  # takes most of a second to import

    _, token, version, chain_id, contract, _, _ = chain.token.functions.eip712Domain().call()
    signed = Account.sign_typed_data(
        key.private_key(),
        domain_data={"name": token, "version": version, "chainId": chain_id, "verifyingContract": contract},
        message_types={name: [{"name": field, "type": kind} for field, kind in fields.items()]},
        message_data=message,
    )
    return to_hex(bytes(signed.signature))


def parts(signature: str) -> tuple[int, bytes, bytes]:
    """v, r and s of a signature."""
    raw = from_hex(signature)
    return raw[64], raw[:32], raw[32:64]
