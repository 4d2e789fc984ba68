"""What happened, read back from the chain and the published log: the numbers of the demo's report."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts.onchain.chain import Chain, as_dict
from contracts.onchain.history import CaseFile, History, read_history
from contracts.protocol.hashing import to_hex
from contracts.protocol.log import VerdictEntry
from contracts.protocol.sampling import CERTAIN
from deploy.localnet.scenario import CHEAT, Story
from verifier.sampling.epoch_log import LogBook, read_epoch
from verifier.sampling.sample import DrawnRow, draw_epoch, read_seed
from verifier.sampling.source import LogSource


@dataclass(frozen=True)
class NodeFacts:
    """One operator at the end. Units."""

    name: str
    operator_id: int
    delivered: int
    sampled: int
    cases: int
    earned_units: int
    claimed_units: int
    stake_units: int
    slashed_units: int


@dataclass(frozen=True)
class RequesterFacts:
    """One requester at the end. Units."""

    name: str
    orders: int
    signed_units: int
    charged_units: int
    balance_units: int


@dataclass(frozen=True)
class Facts:
    """Everything the report tells. `check_rates`: least p of every job, by operator id."""

    history: History
    rows: list[DrawnRow]
    nodes: list[NodeFacts]
    requesters: list[RequesterFacts]
    verdicts: int
    gas: dict[str, int]
    settled_rows: int

    @property
    def epochs_with_jobs(self) -> int:
        """Epochs that carried rows."""
        return sum(epoch.count > 0 for epoch in self.history.epochs.values())

    def rates_of(self, operator_id: int) -> list[float]:
        """The least check rate of each of an operator's jobs, for people to read."""
        return [row.threshold / CERTAIN for row in self.rows if row.job.row.operator_id == operator_id]

    @property
    def gas_per_job(self) -> float:
        """Gas of posts, settlements and claims together, over the rows they settled."""
        return sum(self.gas.values()) / max(1, self.settled_rows)

    def miss_chance(self, operator_id: int) -> float:
        """The chance that no job of this operator would have been sampled, at the least rates that held."""
        chance = 1.0
        for rate in self.rates_of(operator_id):
            chance *= 1.0 - rate
        return chance


def gather(story: Story, chain: Chain, source: LogSource) -> Facts:
    """Reads chain and log to the head."""
    history = read_history(chain, chain.head().number)
    book, rows = LogBook(chain.deployment.domain), list[DrawnRow]()
    for epoch_id in sorted(history.epochs):
        read_epoch(book, history.epochs[epoch_id], source.epoch_lines(epoch_id))
        seed = read_seed(chain, history, epoch_id)
        if seed is not None:
            rows += draw_epoch(history, book, chain.deployment.constants, epoch_id, seed)
    verdicts = {
        to_hex(chain.deployment.domain.verdict_digest(entry.verdict))
        for epoch_id in history.epochs
        for entry in book.epochs[epoch_id].entries
        if isinstance(entry, VerdictEntry)
    }
    return Facts(
        history=history,
        rows=rows,
        nodes=[_node(story, chain, history, rows, name) for name in story.node_accounts],
        requesters=[_requester(story, chain, name) for name in story.requesters],
        verdicts=len(verdicts),
        gas=_gas(chain, history),
        settled_rows=sum(history.epochs[epoch_id].count for epoch_id in history.settled),
    )


def _node(story: Story, chain: Chain, history: History, rows: list[DrawnRow], name: str) -> NodeFacts:
    account = story.node_accounts[name]
    own = [row for row in rows if row.job.row.operator_id == account]
    money = as_dict(chain.escrow.functions.operators(account).call())
    slashes = [event for event in history.of("Slashed") if event.args["id"] == account]
    return NodeFacts(
        name=name,
        operator_id=account,
        delivered=len(own),
        sampled=sum(row.sampled for row in own),
        cases=sum(case.operator_id == account for case in history.cases.values()),
        earned_units=money["earned"],
        claimed_units=money["claimed"],
        stake_units=history.stake_at(account, chain.head().number),
        slashed_units=sum(event.args["units"] for event in slashes),
    )


def _requester(story: Story, chain: Chain, name: str) -> RequesterFacts:
    signer = story.requesters[name]
    own = [view for view in story.orders if view.order.requester == signer.address]
    lane = as_dict(chain.escrow.functions.lanes(*[chain.w3.to_checksum_address(signer.address)] * 2).call())
    return RequesterFacts(
        name=name,
        orders=len(own),
        signed_units=sum(view.order.terms.max_price for view in own),
        charged_units=lane["charged"],
        balance_units=lane["balance"],
    )


def _gas(chain: Chain, history: History) -> dict[str, int]:
    hashes: Mapping[str, list[bytes]] = {
        "post": [epoch.tx_hash for epoch in history.epochs.values()],
        "settle": [epoch.tx_hash for epoch in history.settled.values()],
        "claim": [event.tx_hash for event in history.of("Claimed")],
    }
    return {
        what: sum(int(chain.w3.eth.get_transaction_receipt(to_hex(h))["gasUsed"]) for h in found)  # type: ignore[arg-type]
        for what, found in hashes.items()
    }


def cheat_case(story: Story, facts: Facts) -> CaseFile | None:
    """A case that convicted the cheat, to be shown as a case file."""
    guilty = [case for case in facts.history.cases.values() if is_guilty(case)]
    return next((case for case in guilty if case.operator_id == story.node_accounts[CHEAT]), None)


def is_guilty(case: CaseFile) -> bool:
    """Whether the court ruled against the node."""
    executed: Any = case.executed
    return executed is not None and executed.args["ruling"] == NODE_GUILTY


NODE_GUILTY = 3
"""SlashingCourt.Ruling.NODE_GUILTY."""
