"""The four contracts and the token as one state. A refused call leaves it unchanged."""

from dataclasses import dataclass

from contracts.model.base import Chain
from contracts.model.contests import Contests
from contracts.model.escrow import Escrow
from contracts.model.slashing import Court
from contracts.model.stakes import Stakes
from contracts.model.token import Token
from contracts.protocol.constants import Constants


@dataclass(frozen=True)
class Addresses:
    """Addresses of contracts and roles, in lower-case hex."""

    token: str
    stakes: str
    escrow: str
    court: str
    contests: str
    minter: str
    settler: str
    treasury: str
    governor: str
    guardian: str
    sink: str


@dataclass
class Network:
    """The whole state. Picklable, so that it can be saved and restored."""

    chain: Chain
    token: Token
    stakes: Stakes
    escrow: Escrow
    court: Court
    contests: Contests


def deploy(at: Addresses, constants: Constants, chain_id: int, tip: bytes, wallets: dict[str, str]) -> Network:
    """The network after its constructors. `wallets`: contract wallet -> its owner's address."""
    chain = Chain()
    token = Token(chain, at.token, chain_id, at.minter)
    stakes = Stakes(chain, at.stakes, token, constants, at.governor, at.escrow, at.court, at.sink)
    escrow = Escrow(
        chain=chain, address=at.escrow, token=token, constants=constants, wallets=wallets, stakes=stakes,
        settler=at.settler, treasury=at.treasury, governor=at.governor, guardian=at.guardian,
        court=at.court, contests=at.contests, tip=tip,
    )  # fmt: skip
    court = Court(chain, at.court, constants, escrow, stakes)
    contests = Contests(chain, at.contests, token, constants, escrow, stakes, at.treasury)
    return Network(chain, token, stakes, escrow, court, contests)
