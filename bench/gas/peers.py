"""What others' contracts cost, measured the same way: isolated transactions on prague, everything included.

Each was compiled from the named commit with its own optimizer settings; `forge test --isolate`, gas by call summed over
what one job (or one payment) needs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Peer:
    """Gas of one unit of work of a peer's. `record`: what of a job the chain keeps."""

    name: str
    least: int
    most: int
    per: str
    source: str
    record: str
    batches: bool
    slashes: bool


PEERS = (
    Peer("iExec PoCo", 1_473_629, 2_036_058, "job, trust 3", "iExec PoCo fd0c823e", "full", True, True),
    Peer("iExec PoCo Boost", 182_918, 544_051, "job, bag of 10 / 1", "iExec PoCo fd0c823e", "result", True, True),
    Peer("Lilypad", 1_648_499, 1_767_144, "job", "Lilypad 9ed8651", "full", False, True),
    Peer("Infernet", 366_233, 594_695, "job, no verifier / verifier", "infernet-sdk b183dc3", "full", False, True),
    Peer("ERC-8004", 286_212, 320_388, "validated job", "erc-8004 b9e466c", "verdict", False, False),
    Peer("Prime Intellect", 235_228, 303_640, "submitted work", "smart-contracts a1156fe", "key", False, True),
    Peer("Livepeer", 73_110, 172_037, "winning ticket, batch of 50 / 1", "TicketBroker f225b10", "none", True, False),
    Peer("x402 exact", 65_415, 82_515, "payment", "plain EIP-3009 token", "none", False, False),
    Peer("0G serving", 49_173, 81_108, "user and provider, batch of 50 / 1", "settleFeesWithTEE", "none", True, False),
    Peer("x402 batch", 21_437, 65_481, "channel, batch of 100 / 1", "x402 84ffb641", "none", True, False),
    Peer("Golem", 9_847, 42_635, "payment, batch of 100 / 1", "MultiTransferERC20", "none", True, False),
)
