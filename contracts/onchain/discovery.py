"""A deployment read from the chain alone, given the escrow's address."""

import re

from contracts.onchain.artifacts import artifact
from contracts.onchain.chain import require_agreement
from contracts.onchain.contract import Contract
from contracts.onchain.deployment import Deployment
from contracts.onchain.errors import BadAddress, NoContract, RequestRefused, Reverted, WrongContract, WrongReply
from contracts.onchain.rpc import Rpc
from contracts.protocol.constants import Constants
from contracts.protocol.hashing import ZERO32, to_hex

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")


def deployment_of(w3: Rpc, escrow: str) -> Deployment:
    """Addresses and constants from the contracts' getters. `beacon_anchor` is the tip as it is now.

    Raises BadAddress, NoContract or WrongContract for an `escrow` that is none.
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
        constants=_constants(at_escrow, at_stakes, at_court, at_contests, at_governor),
    )


def _constants(
    escrow: Contract, stakes: Contract, court: Contract, contests: Contract, governor: Contract
) -> Constants:
    return Constants(
        unit_wei=_number(escrow, "UNIT"),
        fee_bps=_number(escrow, "FEE_BPS"),
        order_ttl_s=_number(escrow, "ORDER_TTL"),
        epoch_max_s=_number(escrow, "EPOCH_MAX"),
        seed_blocks=_number(escrow, "SEED_BLOCKS"),
        check_wait_s=_number(escrow, "CHECK_WAIT"),
        settle_wait_s=_number(escrow, "SETTLE_WAIT"),
        charge_window_s=_number(escrow, "CHARGE_WINDOW"),
        notice_s=_number(escrow, "NOTICE"),
        notice_life_s=_number(escrow, "NOTICE_LIFE"),
        unbond_s=_number(stakes, "UNBOND"),
        payout_delay_s=_number(stakes, "PAYOUT_DELAY"),
        min_verifier_stake_units=_number(stakes, "MIN_VERIFIER_STAKE"),
        case_window_s=_number(court, "CASE_WINDOW"),
        commit_window_s=_number(court, "COMMIT_WINDOW"),
        reveal_window_s=_number(court, "REVEAL_WINDOW"),
        penalty_multiple=_number(court, "PENALTY_MULTIPLE"),
        case_reward_units=_number(court, "CASE_REWARD"),
        contest_window_s=_number(contests, "CONTEST_WINDOW"),
        answer_window_s=_number(contests, "ANSWER_WINDOW"),
        resolve_window_s=_number(contests, "RESOLVE_WINDOW"),
        contest_bond_units=_number(contests, "CONTEST_BOND"),
        timelock_s=_number(governor, "getMinDelay"),
    )


def _contract(w3: Rpc, name: str, address: str) -> Contract:
    if not w3.eth.get_code(address):
        raise NoContract(name=name, address=address)
    return w3.eth.contract(address=address, abi=artifact(name).abi)


def _stake_manager(escrow: Contract) -> str:
    """The first question, which another contract does not answer."""
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
    """The block of a contract's creation, by bisection; it is known not to have been there before `since`.

    `since` where the endpoint keeps no old state: slower to read, and nothing is missed.
    """
    low, high = since, w3.eth.block_number
    try:
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if w3.eth.get_code(contract, middle) else (middle + 1, high)
    except RequestRefused:
        return since
    return low
