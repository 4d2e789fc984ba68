"""The figures of the demo's report, read back from the chain and the published log."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.client.jobs import Answer
from contracts.onchain.chain import Chain, as_dict
from contracts.onchain.lanes import read_lane
from contracts.protocol.rulings import Ruling
from contracts.protocol.sampling import CERTAIN
from contracts.protocol.texts import decode_texts
from contracts.record.history import CaseFile, History, read_history
from contracts.record.log_book import LogBook, LogFacts, PaidJob, read_epoch
from contracts.record.log_source import LogSource, published_lines
from contracts.record.sample import DrawnRow, Sample, seed_of
from contracts.record.standings import Standings
from deploy.localnet.scenario import CHEATS, NODES, VERIFIERS, Story


@dataclass(frozen=True)
class NodeFacts:
    """An operator's final state. Units."""

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
    """A verifier's final state. `paid`: verdicts settled by now, of those `published`; the rest waits for the next
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
    """A requester's final state. Units."""

    name: str
    orders: int
    signed_units: int
    charged_units: int
    balance_units: int


@dataclass(frozen=True)
class DemoJob:
    """A job of a revealed epoch, and how its row was drawn."""

    job: PaidJob
    drawn: DrawnRow


@dataclass(frozen=True)
class DemoFacts:
    """All facts of the report. `check_rates`: least p of every job, by operator id."""

    history: History
    jobs: list[DemoJob]
    nodes: list[NodeFacts]
    verifiers: list[VerifierFacts]
    requesters: list[RequesterFacts]
    gas: dict[str, int]
    settled_rows: int

    @property
    def epochs_with_jobs(self) -> int:
        """Epochs with jobs, not only with pay for checks."""
        return len({each.job.epoch_id for each in self.jobs})

    def rates_of(self, operator_id: int, kind: str | None = None) -> list[float]:
        """The least check rate of an operator's jobs, all or of one kind, for readers."""
        own = [each for each in self.jobs if each.job.row.operator_id == operator_id]
        return [each.drawn.threshold / CERTAIN for each in own if kind in (None, each.job.manifest.kind)]

    @property
    def gas_per_job(self) -> float:
        """Gas of posts, settlements and claims together, divided by the rows that they settled."""
        return sum(self.gas.values()) / max(1, self.settled_rows)


def gather(story: Story, chain: Chain, source: LogSource) -> DemoFacts:
    """Reads chain and log to the head."""
    history, constants = read_history(chain, chain.head().number), chain.deployment.constants
    book, jobs = LogBook(chain.deployment.domain), list[DemoJob]()
    sample = Sample(history, LogFacts(book, source), constants, Standings())
    for epoch_id, posted in sorted(history.epochs.items()):
        read_epoch(book, posted, published_lines(source, posted))
        seed = seed_of(history, constants, epoch_id, chain.block_hash)
        if seed is not None:
            known = {job.row.index: job for job in book.jobs(epoch_id)}
            jobs += [DemoJob(known[drawn.row.index], drawn) for drawn in sample.draw(epoch_id, seed)]
    return DemoFacts(
        history=history,
        jobs=jobs,
        nodes=[_node(story, chain, history, jobs, name) for name in NODES],
        verifiers=[_verifier(story, chain, history, book, name) for name in VERIFIERS],
        requesters=[_requester(story, chain, name) for name in story.requesters],
        gas=_gas(chain, history),
        settled_rows=sum(history.epochs[epoch_id].count for epoch_id in history.settled),
    )


def _node(story: Story, chain: Chain, history: History, jobs: list[DemoJob], name: str) -> NodeFacts:
    account = story.node_accounts[name]
    own = [each for each in jobs if each.job.row.operator_id == account]
    money = as_dict(chain.escrow.functions.operators(account).call())
    slashes = [event for event in history.of("Slashed") if event.args["id"] == account]
    return NodeFacts(
        name=name,
        operator_id=account,
        delivered=len(own),
        sampled=sum(each.drawn.sampled for each in own),
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
    lane = read_lane(chain, signer.address, signer.address)
    return RequesterFacts(
        name=name,
        orders=len(own),
        signed_units=sum(view.order.terms.max_price for view in own),
        charged_units=lane.charged,
        balance_units=lane.balance,
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


def cheat_case(story: Story, facts: DemoFacts) -> CaseFile | None:
    """A case that convicted a cheat, for the case file."""
    cheats = {story.node_accounts[name] for name in CHEATS}
    guilty = [case for case in facts.history.cases.values() if is_guilty(case)]
    return next((case for case in guilty if case.operator_id in cheats), None)


@dataclass(frozen=True)
class Exhibit:
    """The subject of a case: the texts and the node's commitment."""

    prompt: str
    answer: str
    units: int
    node: str


def exhibit(facts: DemoFacts, source: LogSource, case: CaseFile, read: Callable[[str, bytes], Answer]) -> Exhibit:
    """The job behind a case, from the published log. `read`: see `AssayClient.read`."""
    place = (case.epoch_id, case.index)
    job = next(each.job for each in facts.jobs if (each.job.epoch_id, each.job.row.index) == place)
    commitment = job.commitment.commitment
    terms = job.order.order.terms
    answer = read(terms.workload_id, source.blob(commitment.output_root))
    texts = decode_texts(source.blob(terms.texts_hash))
    return Exhibit(" | ".join(texts), " | ".join(answer.texts), commitment.units, commitment.node)


def is_guilty(case: CaseFile) -> bool:
    """Whether the court ruled against the node."""
    return case.ruling is Ruling.NODE_GUILTY
