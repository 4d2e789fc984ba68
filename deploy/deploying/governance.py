"""A network's governor: its roles, and the proposals that follow from the configuration."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import Chain
from contracts.onchain.origin import ANYONE, FACTORY
from contracts.onchain.sender import Sender
from contracts.protocol.hashing import ZERO32, keccak
from deploy.deploying.config import Config
from deploy.deploying.errors import AdminLeft

_ADMIN = ZERO32
_PROPOSER, _EXECUTOR, _CANCELLER = (keccak(f"{role}_ROLE".encode()) for role in ("PROPOSER", "EXECUTOR", "CANCELLER"))
_UNSET, _WAITING, _READY = 0, 1, 2
"""TimelockController.OperationState."""
PROPOSAL_GAS = 200_000
"""The most that proposing or executing one call takes, by test."""


def check_roles(chain: Chain, others: tuple[str, ...]) -> list[str]:
    """Returns a line for each role that the governor has changed since the deployment.

    Raises AdminLeft if an account in the deployment, or one of `others`, could skip the delay.
    """
    deployment, founding = chain.deployment, chain.deployment.founding
    assert founding is not None
    named = (*founding.proposers, *founding.executors, *others, founding.origin, FACTORY, ANYONE)
    for account in (*named, deployment.guardian, deployment.settler, deployment.treasury):
        if _has(chain, _ADMIN, account):
            raise AdminLeft(account, deployment.governor)
    expected = {
        "administers itself": (_ADMIN, (deployment.governor,)),
        "proposes": (_PROPOSER, founding.proposers),
        "cancels": (_CANCELLER, founding.proposers),
        "executes": (_EXECUTOR, founding.executors or (ANYONE,)),
    }
    return [
        f"{'anyone' if account == ANYONE else account} no longer {does}"
        for does, (role, accounts) in expected.items()
        for account in accounts
        if not _has(chain, role, account)
    ]


def _has(chain: Chain, role: bytes, account: str) -> bool:
    return bool(chain.governor.functions.hasRole(role, to_checksum_address(account)).call())


@dataclass(frozen=True)
class Proposal:
    """A call for the governor to make, and its purpose."""

    what: str
    target: str
    data: str


def unregistered(chain: Chain, config: Config) -> list[str]:
    """Owners of proposed verifiers that have no account yet."""
    return [verifier.owner for verifier in config.verifiers if _account(chain, verifier.owner) == 0]


def proposals(chain: Chain, config: Config) -> Iterator[Proposal]:
    """The configuration's proposals that can be made and are not executed yet."""
    for account in config.governor.cancellers:
        if not _has(chain, _CANCELLER, account):
            data = chain.governor.encode_abi("grantRole", [_CANCELLER, to_checksum_address(account)])
            yield Proposal(f"let {account} cancel", chain.governor.address, data)
    for verifier in config.verifiers:
        account_id, key = _account(chain, verifier.owner), to_checksum_address(verifier.key)
        if account_id and int(chain.stakes.functions.verifierOf(key).call()) != account_id:
            data = chain.stakes.encode_abi("admitVerifier", [account_id, key])
            yield Proposal(f"admit {verifier.owner} as verifier", chain.stakes.address, data)


def _account(chain: Chain, owner: str) -> int:
    return int(chain.stakes.functions.operatorIdOf(to_checksum_address(owner)).call())


def propose(chain: Chain, sender: Sender, proposal: Proposal) -> str:
    """Takes a proposal's next step: proposes it, or executes it after the delay. Returns its state in words."""
    governor = chain.governor.functions
    call = (proposal.target, 0, proposal.data, ZERO32, ZERO32)
    operation = governor.hashOperation(*call).call()
    state = governor.getOperationState(operation).call()
    if state == _UNSET:
        if not _has(chain, _PROPOSER, sender.address):
            return f"{proposal.what}: a proposer of the governor schedules {proposal.data} to {proposal.target}"
        sender.call(governor.schedule(*call, governor.getMinDelay().call()))
    elif state == _READY and (_has(chain, _EXECUTOR, ANYONE) or _has(chain, _EXECUTOR, sender.address)):
        sender.call(governor.execute(*call))
        return f"{proposal.what}: executed"
    elif state not in (_WAITING, _READY):
        return f"{proposal.what}: was executed and later undone; if you want it back, propose it by hand"
    ready_at = governor.getTimestamp(operation).call()
    return f"{proposal.what}: proposed; from {_time(ready_at)} on, running the same again executes it"


def _time(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
