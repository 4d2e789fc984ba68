"""What the epoch's services ask the chain before they act. The coordinator's questions are in views.py."""

from enum import IntEnum

from backend.domain.epochs import Bond
from contracts.onchain.chain import Chain
from contracts.onchain.reverts import explain


class Ruling(IntEnum):
    """SlashingCourt.Ruling."""

    OPEN = 0
    DISMISSED = 1
    NODE_UPHELD = 2
    NODE_GUILTY = 3


def settler_bond(chain: Chain) -> Bond:
    """The settler's bond and the charge window's buckets."""
    with explain():
        bond, start, previous, current, _ = chain.escrow.functions.settlerBond().call()
    return Bond(bond, start, previous, current)


def ruling(chain: Chain, case_id: bytes) -> Ruling:
    """The court's ruling on a case as of the latest block."""
    with explain():
        return Ruling(chain.court.functions.ruling(case_id).call())
