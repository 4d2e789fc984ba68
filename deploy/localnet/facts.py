"""What happened, read back from the chain and the published log: the numbers of the demo's report."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.address import to_checksum_address

from backend.client.jobs import Answer
from contracts.onchain.chain import Chain, as_dict
from contracts.onchain.history import CaseFile, History, read_history
from contracts.protocol.sampling import CERTAIN
from contracts.protocol.texts import decode_texts
from deploy.localnet.scenario import CHEATS, NODES, VERIFIERS, Story
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
class VerifierFacts:
    """One verifier at the end. `verdicts` published, of which `paid` were settled by now; the rest waits for the next
    epoch. Units."""

    name: str
    account: int
    verdicts: int
    paid: int
    cases: int
    earned_units: int
    rewarded_units: int


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
    verifiers: list[VerifierFacts]
    requesters: list[RequesterFacts]
    gas: dict[str, int]
    settled_rows: int

    @property
    def epochs_with_jobs(self) -> int:
        """Epochs that carried jobs, not only the pay of checks."""
        return len({row.job.epoch_id for row in self.rows})

    def rates_of(self, operator_id: int, kind: str | None = None) -> list[float]:
        """The least check rate of each of an operator's jobs, or of those of one kind, for people to read."""
        own = [row for row in self.rows if row.job.row.operator_id == operator_id]
        return [row.threshold / CERTAIN for row in own if kind in (None, row.job.manifest.kind)]

    @property
    def gas_per_job(self) -> float:
        """Gas of posts, settlements and claims together, over the rows they settled."""
        return sum(self.gas.values()) / max(1, self.settled_rows)


def gather(story: Story, chain: Chain, source: LogSource) -> Facts:
    """Reads chain and log to the head."""
    history = read_history(chain, chain.head().number)
    book, rows = LogBook(chain.deployment.domain), list[DrawnRow]()
    for epoch_id in sorted(history.epochs):
        read_epoch(book, history.epochs[epoch_id], source.epoch_lines(epoch_id))
        seed = read_seed(chain, history, epoch_id)
        if seed is not None:
            rows += draw_epoch(history, book, chain.deployment.constants, epoch_id, seed)
    return Facts(
        history=history,
        rows=rows,
        nodes=[_node(story, chain, history, rows, name) for name in NODES],
        verifiers=[_verifier(story, chain, history, book, name) for name in VERIFIERS],
        requesters=[_requester(story, chain, name) for name in story.requesters],
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
        earned_units=money["earnedUnits"],
        claimed_units=money["claimedUnits"],
        stake_units=history.stake_at(account, chain.head().number),
        slashed_units=sum(event.args["units"] for event in slashes),
    )


def _verifier(story: Story, chain: Chain, history: History, book: LogBook, name: str) -> VerifierFacts:
    account = story.verifier_accounts[name]
    verdicts = [entry for log in book.epochs.values() for entry in log.verdicts.values()]
    paid = [log.epoch_id for log in book.epochs.values() for row in log.rows if row.operator_id == account]
    joined = [event for event in history.of("VerdictRevealed") if event.args["verifierId"] == account]
    rewards = [event for event in history.of("Rewarded") if event.args["id"] == account]
    return VerifierFacts(
        name=name,
        account=account,
        verdicts=sum(history.verifier_keys[entry.verdict.verifier] == account for entry in verdicts),
        paid=sum(epoch_id in history.settled for epoch_id in paid),
        cases=len(joined),
        earned_units=as_dict(chain.escrow.functions.operators(account).call())["earnedUnits"],
        rewarded_units=sum(event.args["units"] for event in rewards),
    )


def _requester(story: Story, chain: Chain, name: str) -> RequesterFacts:
    signer = story.requesters[name]
    own = [view for view in story.orders if view.order.requester == signer.address]
    lane = as_dict(chain.escrow.functions.lanes(*[to_checksum_address(signer.address)] * 2).call())
    return RequesterFacts(
        name=name,
        orders=len(own),
        signed_units=sum(view.order.terms.max_price for view in own),
        charged_units=lane["chargedUnits"],
        balance_units=lane["balanceUnits"],
    )


def _gas(chain: Chain, history: History) -> dict[str, int]:
    hashes: Mapping[str, list[bytes]] = {
        "post": [epoch.tx_hash for epoch in history.epochs.values()],
        "settle": [epoch.tx_hash for epoch in history.settled.values()],
        "claim": [event.tx_hash for event in history.of("Claimed")],
    }
    return {what: sum(_gas_used(chain, tx_hash) for tx_hash in found) for what, found in hashes.items()}


def _gas_used(chain: Chain, tx_hash: bytes) -> int:
    return int(chain.w3.eth.get_transaction_receipt(tx_hash)["gasUsed"])


def cheat_case(story: Story, facts: Facts) -> CaseFile | None:
    """A case that convicted a cheat, to be shown as a case file."""
    cheats = {story.node_accounts[name] for name in CHEATS}
    guilty = [case for case in facts.history.cases.values() if is_guilty(case)]
    return next((case for case in guilty if case.operator_id in cheats), None)


@dataclass(frozen=True)
class Exhibit:
    """What a case is about: the texts, and what the node committed to."""

    prompt: str
    answer: str
    units: int
    node: str


def exhibit(facts: Facts, source: LogSource, case: CaseFile, read: Callable[[str, bytes], Answer]) -> Exhibit:
    """The job behind a case, from the published log. `read`: see `AssayClient.read`."""
    place = (case.epoch_id, case.index)
    job = next(row.job for row in facts.rows if (row.job.epoch_id, row.job.row.index) == place)
    commitment = job.commitment.commitment
    terms = job.order.order.terms
    answer = read(terms.workload_id, source.blob(commitment.output_root))
    texts = decode_texts(source.blob(terms.texts_hash))
    return Exhibit(" | ".join(texts), " | ".join(answer.texts), commitment.units, commitment.node)


def is_guilty(case: CaseFile) -> bool:
    """Whether the court ruled against the node."""
    executed: Any = case.executed
    return executed is not None and executed.args["ruling"] == NODE_GUILTY


NODE_GUILTY = 3
"""SlashingCourt.Ruling.NODE_GUILTY."""
