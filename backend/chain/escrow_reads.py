"""The worker's questions to the chain before it acts. The coordinator's questions are in views.py."""

from dataclasses import dataclass

from eth_utils.address import to_checksum_address

from backend.domain.epochs import Bond
from contracts.onchain.chain import Chain
from contracts.protocol.rulings import Ruling


@dataclass(frozen=True)
class Holding:
    """A contract's tokens at a block, base units: what it held, and what it said it owed (`own_wei`)."""

    contract: str
    address: str
    held_wei: int
    own_wei: int


def holdings(chain: Chain, block_number: int) -> list[Holding]:
    """Each contract's tokens at a block."""
    found = []
    holders = {"JobEscrow": chain.escrow, "StakeManager": chain.stakes, "Contests": chain.contests}
    for name, contract in holders.items():
        balance = chain.token.functions.balanceOf(to_checksum_address(contract.address))
        held_wei = int(balance.call(block_identifier=block_number))
        own_wei = int(contract.functions.held().call(block_identifier=block_number))
        found.append(Holding(name, contract.address.lower(), held_wei, own_wei))
    return found


def settler_bond(chain: Chain) -> Bond:
    """The settler's bond and the charge window's buckets."""
    bond, start, previous, current, _ = chain.escrow.functions.settlerBond().call()
    return Bond(bond, start, previous, current)


def ruling(chain: Chain, case_id: bytes) -> Ruling:
    """The court's ruling on a case as of the latest block."""
    return Ruling(chain.court.functions.ruling(case_id).call())
