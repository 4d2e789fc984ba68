"""A deployment read from the chain alone, given the escrow's address."""

import re
from collections.abc import Sequence

from contracts.onchain.artifacts import artifact
from contracts.onchain.chain import require_agreement
from contracts.onchain.contract import Contract
from contracts.onchain.deployment import Deployment
from contracts.onchain.errors import BadAddress, NoContract, RequestRefused, Reverted, WrongContract, WrongReply
from contracts.onchain.origin import getter_of
from contracts.onchain.rpc import Rpc
from contracts.protocol.constants import Constants
from contracts.protocol.hashing import ZERO32, to_hex

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def deployment_of(w3: Rpc, escrow: str) -> Deployment:
    """Addresses and constants from the contracts' getters. `beacon_anchor` is the current tip.

    Raises BadAddress, NoContract or WrongContract where `escrow` is no JobEscrow.
    """
    if _ADDRESS.fullmatch(escrow) is None:
        raise BadAddress(name="escrow", value=escrow)
    at_escrow = _contract(w3, "JobEscrow", escrow)
    at_stakes = _contract(w3, "StakeManager", _stake_manager(at_escrow))
    require_agreement(at_escrow)
    at_court = _contract(w3, "SlashingCourt", _address(at_escrow, "COURT"))
    at_contests = _contract(w3, "Contests", _address(at_escrow, "CONTESTS"))
    at_governor = _contract(w3, "TimelockController", _address(at_stakes, "GOVERNOR"))
    named = (at_stakes, at_escrow, at_court, at_contests)
    return Deployment(
        chain_id=w3.eth.chain_id,
        first_block=min(created_at(w3, contract.address) for contract in named),
        escrow=escrow.lower(),
        stake_manager=at_stakes.address.lower(),
        court=at_court.address.lower(),
        contests=at_contests.address.lower(),
        token=_address(at_escrow, "TOKEN"),
        governor=at_governor.address.lower(),
        guardian=_address(at_escrow, "GUARDIAN"),
        settler=_address(at_escrow, "settler"),
        treasury=_address(at_escrow, "TREASURY"),
        beacon_anchor=to_hex(bytes(at_escrow.functions.tip().call()) or ZERO32),
        constants=_constants(named, at_governor),
    )


def _constants(contracts: Sequence[Contract], governor: Contract) -> Constants:
    """Each constant from a contract that has a getter for it. Wired contracts agree on those that several have."""
    holder = {item["name"]: contract for contract in contracts for item in contract.abi if item["type"] == "function"}
    getters = {name: getter_of(name) for name in Constants.model_fields if name != "timelock_s"}
    values = {name: _number(holder[getter], getter) for name, getter in getters.items()}
    return Constants(**values, timelock_s=_number(governor, "getMinDelay"))


def _contract(w3: Rpc, name: str, address: str) -> Contract:
    if not w3.eth.get_code(address):
        raise NoContract(name=name, address=address)
    return w3.eth.contract(address=address, abi=artifact(name).abi)


def _stake_manager(escrow: Contract) -> str:
    """The first getter to ask: another contract does not have it."""
    try:
        return _address(escrow, "STAKE_MANAGER")
    except (Reverted, WrongReply) as error:
        raise WrongContract(
            address=escrow.address.lower(), getter="STAKE_MANAGER", expected="one", found="not there"
        ) from error


def _number(contract: Contract, getter: str) -> int:
    return int(contract.functions[getter]().call())


def _address(contract: Contract, getter: str) -> str:
    return str(contract.functions[getter]().call()).lower()


def created_at(w3: Rpc, contract: str, since: int = 0) -> int:
    """The block of a contract's creation, by bisection from `since` on.

    Returns `since` where the endpoint keeps no old state: reading from there is slower and misses nothing.
    """
    low, high = since, w3.eth.block_number
    try:
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if w3.eth.get_code(contract, middle) else (middle + 1, high)
    except RequestRefused:
        return since
    return low
