"""Compares the books with the contracts' own views and with the tokens that they hold.

`unexplained` = tokens held - tokens owed by the books - donations. A donation is a transfer into a contract beyond what
the contract's events in the same transaction account for. All reads are as of the audit's head block.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

from contracts.onchain.chain import as_dict
from contracts.onchain.contract import ContractCall
from contracts.onchain.events import Event
from contracts.protocol.hashing import keccak
from verifier.audit.evidence import AuditEvidence
from verifier.audit.replay import Books

_TRANSFER = keccak(b"Transfer(address,address,uint256)")
_BLOCKS_A_CALL = 2000

_ESCROW_IN = {"Deposited": "units", "SettlerBonded": "units", "Refunded": "units"}
_STAKE_IN = {"Staked": "units"}
_CONTESTS_IN = {"Contested": "bondUnits"}


@dataclass(frozen=True)
class Holdings:
    """Tokens of all contracts together, base units."""

    held_wei: int
    donated_wei: int
    unexplained_wei: int


def check_views(evidence: AuditEvidence, books: Books) -> None:
    """Notes lanes, operators and totals where the contract contradicts the books."""
    expect = evidence.findings.expect
    functions = evidence.chain.escrow.functions
    for (requester, signer), lane in sorted(books.lanes.items()):
        call = functions.lanes(to_checksum_address(requester), to_checksum_address(signer))
        told = _struct(evidence, call)
        name = f"lane {requester}/{signer}"
        expect(f"balance of {name}", lane.balance, told["balanceUnits"])
        expect(f"charged of {name}", lane.charged, told["chargedUnits"])
        proven = told["capProvenUnits"]
        expect(f"proven cap of {name}", lane.cap_proven, proven)
        expect(f"{name} was charged no more than its proven cap", True, lane.charged <= proven)
    for operator in sorted(books.earned.keys() | books.claimed.keys()):
        told = _struct(evidence, functions.operators(operator))
        expect(f"earned by operator {operator}", books.earned[operator], told["earnedUnits"])
        expect(f"claimed by operator {operator}", books.claimed[operator], told["claimedUnits"])
    expect("fees", books.fees, _struct(evidence, functions.totals())["feesUnits"])
    expect("settler's bond", books.bond, _struct(evidence, functions.settlerBond())["bondUnits"])


def holdings(evidence: AuditEvidence, books: Books) -> Holdings:
    """The contracts' tokens and the unexplained part of them; notes anything but zero."""
    deployment, unit = evidence.chain.deployment, evidence.constants.unit_wei
    owed = {
        deployment.escrow: (books.held, "JobEscrow", _ESCROW_IN),
        deployment.stake_manager: (_staked(evidence.history.events), "StakeManager", _STAKE_IN),
        deployment.contests: (_contest_bonds(evidence.history.events), "Contests", _CONTESTS_IN),
    }
    held = donated = unexplained = 0
    for address, (units, name, inflows) in owed.items():
        balance = _balance(evidence, address)
        gifts = _donations(evidence, address, name, inflows)
        missing = balance - units * unit - gifts
        evidence.findings.expect(f"unexplained wei of {name}", 0, missing)
        held, donated, unexplained = held + balance, donated + gifts, unexplained + missing
    return Holdings(held, donated, unexplained)


def _staked(events: list[Event]) -> int:
    """All stake, also while unbonding, and slashed units still in the contract."""
    outflows = {"StakeWithdrawn": "units", "Slashed": "refundUnits", "Swept": "units"}
    came: int = sum(event.args["units"] for event in events if event.name == "Staked")
    left: int = sum(event.args[outflows[event.name]] for event in events if event.name in outflows)
    return came - left


def _contest_bonds(events: list[Event]) -> int:
    """Contesters' bonds that were not paid out, units; also one that the token refused to pay."""
    signs = {"Contested": 1, "Answered": -1, "ContestResolved": -1, "ContestLapsed": -1}
    return sum(signs[event.name] * event.args["bondUnits"] for event in events if event.name in signs)


def _donations(evidence: AuditEvidence, address: str, contract: str, inflows: dict[str, str]) -> int:
    explained: dict[bytes, int] = defaultdict(int)
    for event in evidence.history.events:
        if event.contract == contract and event.name in inflows:
            explained[event.tx_hash] += event.args[inflows[event.name]] * evidence.constants.unit_wei
    received: dict[bytes, int] = defaultdict(int)
    for tx_hash, units_wei in _transfers_to(evidence, address):
        received[tx_hash] += units_wei
    return sum(max(0, amount - explained[tx_hash]) for tx_hash, amount in received.items())


def _transfers_to(evidence: AuditEvidence, address: str) -> list[tuple[bytes, int]]:
    token, last = evidence.chain.token, evidence.head.number
    topics = ["0x" + _TRANSFER.hex(), None, "0x" + 24 * "0" + address[2:]]
    found = []
    for start in range(evidence.chain.deployment.first_block, last + 1, _BLOCKS_A_CALL):
        blocks = {"fromBlock": start, "toBlock": min(last, start + _BLOCKS_A_CALL - 1)}
        logs = evidence.chain.w3.eth.get_logs({"address": token.address, "topics": topics, **blocks})
        found += [(bytes(log["transactionHash"]), int.from_bytes(log["data"], "big")) for log in logs]
    return found


def _balance(evidence: AuditEvidence, address: str) -> int:
    call = evidence.chain.token.functions.balanceOf(to_checksum_address(address))
    return int(call.call(block_identifier=evidence.head.number))


def _struct(evidence: AuditEvidence, call: ContractCall) -> dict[str, Any]:
    return as_dict(call.call(block_identifier=evidence.head.number))
