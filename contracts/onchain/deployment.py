"""Deploys the contracts and describes a deployment in one file that every party reads."""

from pathlib import Path
from typing import Any

from eth_utils.address import to_checksum_address
from pydantic import ValidationError
from web3.types import Nonce
from web3.utils.address import get_create_address

from contracts.onchain.artifacts import artifact
from contracts.onchain.errors import BadDeployment
from contracts.onchain.sender import Sender
from contracts.protocol.constants import Constants
from contracts.protocol.errors import first_fault
from contracts.protocol.records import Address, Bytes32, Record
from contracts.protocol.typed_data import Domain

ANYONE = "0x0000000000000000000000000000000000000000"
"""The governor's executor and admin: anyone may execute what waited, nobody may skip the wait."""
SINK = "0x000000000000000000000000000000000000dEaD"
"""Where the part of a slash goes that belongs to nobody who decides."""


class Deployment(Record):
    """Where the contracts are and with which numbers. Nothing in it needs trust: all can be read from the chain."""

    chain_id: int
    first_block: int
    escrow: Address
    stake_manager: Address
    court: Address
    contests: Address
    token: Address
    governor: Address
    guardian: Address
    settler: Address
    """At first; `Chain.settler` tells who it is now."""
    treasury: Address
    beacon_anchor: Bytes32
    constants: Constants

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of orders, commitments, verdicts and leases."""
        return Domain(self.chain_id, self.escrow)

    @property
    def stake_domain(self) -> Domain:
        """The EIP-712 domain of node keys."""
        return Domain(self.chain_id, self.stake_manager)

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text(self.model_dump_json(indent=2))
        temporary.replace(path)

    @staticmethod
    def load(path: Path) -> "Deployment":
        """Reads what `save` wrote. Raises BadDeployment, naming the file and the first field that is wrong."""
        try:
            return Deployment.model_validate_json(path.read_bytes())
        except OSError as error:
            raise BadDeployment(path, error.strerror or str(error)) from error
        except ValidationError as error:
            raise BadDeployment(path, first_fault(error)) from error


def deploy(
    sender: Sender,
    constants: Constants,
    *,
    settler: str,
    treasury: str,
    beacon_anchor: str,
    guardian: str | None = None,
    token: str | None = None,
    token_supply_wei: int = 10**27,
) -> Deployment:
    """Deploys StakeManager, JobEscrow, SlashingCourt, Contests, the governor, and DevToken unless `token` is given.

    The contracts know each other immutably, so their addresses are computed from the deployer's nonce before the
    first is sent. The deployer proposes to the governor; whoever waits out its delay may execute. `guardian` may pause
    what comes in; by default it is the deployer.
    """
    w3, deployer = sender.w3, to_checksum_address(sender.address)
    first_block = w3.eth.block_number
    token = token or _dev_token(sender, token_supply_wei)
    governor = sender.create("TimelockController", [constants.timelock_s, [deployer], [ANYONE], ANYONE])
    nonce = w3.eth.get_transaction_count(deployer)
    stake, escrow, court, contests = addresses = [get_create_address(deployer, Nonce(nonce + i)) for i in range(4)]
    guardian = to_checksum_address(guardian or deployer)
    values = _constructor_values(constants) | {
        "token": to_checksum_address(token),
        "governor": to_checksum_address(governor),
        "escrow": escrow,
        "stakeManager": stake,
        "court": court,
        "contests": contests,
        "guardian": guardian,
        "settler": to_checksum_address(settler),
        "treasury": to_checksum_address(treasury),
        "tip": beacon_anchor,
        "sink": SINK,
    }
    names = ("StakeManager", "JobEscrow", "SlashingCourt", "Contests")
    found = [sender.create(name, [_params(name, values)]) for name in names]
    assert [a.lower() for a in found] == [a.lower() for a in addresses], "deployer's nonce moved"
    return Deployment(
        chain_id=w3.eth.chain_id,
        first_block=first_block,
        escrow=escrow.lower(),
        stake_manager=stake.lower(),
        court=court.lower(),
        contests=contests.lower(),
        token=token.lower(),
        governor=governor.lower(),
        guardian=guardian.lower(),
        settler=settler.lower(),
        treasury=treasury.lower(),
        beacon_anchor=beacon_anchor,
        constants=constants,
    )


def _dev_token(sender: Sender, supply_wei: int) -> str:
    address = sender.create("DevToken", [])
    token = sender.w3.eth.contract(address=to_checksum_address(address), abi=artifact("DevToken").abi)
    sender.call(token.functions.mint(sender.address, supply_wei))
    return address


def _params(name: str, values: dict[str, Any]) -> tuple[Any, ...]:
    """The constructor's one struct, its fields by name in the ABI's order."""
    constructor = next(item for item in artifact(name).abi if item["type"] == "constructor")
    return tuple(values[field["name"]] for field in constructor["inputs"][0]["components"])


def _constructor_values(constants: Constants) -> dict[str, int]:
    return {
        "unit": constants.unit_wei,
        "feeBps": constants.fee_bps,
        "orderTtl": constants.order_ttl_s,
        "epochMax": constants.epoch_max_s,
        "seedBlocks": constants.seed_blocks,
        "checkWait": constants.check_wait_s,
        "settleWait": constants.settle_wait_s,
        "chargeWindow": constants.charge_window_s,
        "notice": constants.notice_s,
        "noticeLife": constants.notice_life_s,
        "unbond": constants.unbond_s,
        "payoutDelay": constants.payout_delay_s,
        "minVerifierStake": constants.min_verifier_stake_units,
        "caseWindow": constants.case_window_s,
        "commitWindow": constants.commit_window_s,
        "revealWindow": constants.reveal_window_s,
        "penaltyMultiple": constants.penalty_multiple,
        "caseReward": constants.case_reward_units,
        "contestWindow": constants.contest_window_s,
        "answerWindow": constants.answer_window_s,
        "resolveWindow": constants.resolve_window_s,
        "contestBond": constants.contest_bond_units,
    }
