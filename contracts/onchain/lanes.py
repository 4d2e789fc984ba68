"""A lane as the escrow has it."""

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain, as_dict
from contracts.protocol.lane import Lane


def read_lane(chain: Chain, requester: str, signer: str) -> Lane:
    """A lane as of the latest block; all zero where nothing ever happened in it. Raises ChainError."""
    call = chain.escrow.functions.lanes(to_checksum_address(requester), to_checksum_address(signer))
    slot = as_dict(call.call())
    return Lane(
        balance=slot["balanceUnits"],
        charged=slot["chargedUnits"],
        cap_proven=slot["capProvenUnits"],
        notice_at=slot["noticeAt"],
        expiry=slot["expiry"],
    )
