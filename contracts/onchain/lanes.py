"""A lane's state in the escrow."""

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain, as_dict
from contracts.protocol.lane import Lane


def read_lane(chain: Chain, requester: str, signer: str) -> Lane:
    """A lane as of the latest block; all zero if it was never used. Raises ChainError."""
    call = chain.escrow.functions.lanes(to_checksum_address(requester), to_checksum_address(signer))
    slot = as_dict(call.call())
    return Lane(
        balance=slot["balanceUnits"],
        charged=slot["chargedUnits"],
        cap_proven=slot["capProvenUnits"],
        notice_at=slot["noticeAt"],
        expiry=slot["expiry"],
    )
