"""Recomputes one payment, step by step, and names every contradiction."""

from dataclasses import dataclass, field
from typing import Literal

from contracts.onchain.chain import Chain
from contracts.protocol.errors import BadSignature
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.merkle import Row
from contracts.protocol.pricing import amount_units
from contracts.protocol.records import COMPARATOR_NATIVE, Commitment, Order
from contracts.protocol.sampling import CERTAIN
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import agrees
from contracts.protocol.wire import OrderView
from contracts.record.errors import RecordError, WorkloadUnknown
from contracts.record.facts import JobRow
from contracts.record.history import read_history
from contracts.record.leaf import Leaf
from contracts.record.log_book import LogBook, LogFacts
from contracts.record.outcome import outcome_of
from contracts.record.sample import Sample, seed_of
from contracts.record.standings import Standings
from node_agent.errors import CallFailed
from node_agent.explanation.api_log import ApiLog, read_all
from node_agent.explanation.native import Looks, trace_in_words
from node_agent.explanation.outcome import outcome_in_words
from node_agent.session.backend_api import BackendApi
from node_agent.session.court import read_accusation
from node_agent.session.journal import NodeJournal

Mark = Literal["ok", "lie", "note"]
"""ok: recomputed and equal. lie: a statement that is false. note: information."""

_FINAL = {"paid": "paid", "alone": "paid", "void": "void", "skipped": "skipped"}
"""The backend's name of each final outcome on chain."""


@dataclass(frozen=True)
class ExplainedStep:
    """One step from the order to the credit, in words."""

    name: str
    mark: Mark
    says: str


@dataclass
class Explanation:
    """`outcome`: paid | alone | void | skipped | stranded | posted | revealed | delivered | answered | refused |
    abandoned | leased | elsewhere | expired | queued | unknown. `credited_units`: after the fee's share."""

    order_id: str
    outcome: str = "unknown"
    says: str = ""
    amount_units: int | None = None
    credited_units: int | None = None
    epoch_id: int | None = None
    index: int | None = None
    sampled: bool | None = None
    tx: str | None = None
    steps: list[ExplainedStep] = field(default_factory=list)

    @property
    def lies(self) -> list[str]:
        return [step.says for step in self.steps if step.mark == "lie"]

    def add(self, name: str, mark: Mark, says: str) -> None:
        self.steps.append(ExplainedStep(name, mark, says))

    def end(self, outcome: str, says: str) -> None:
        self.outcome, self.says = outcome, says


@dataclass(frozen=True)
class Sources:
    """The sources of an explanation. `api`: None if there is no backend."""

    chain: Chain
    journal: NodeJournal
    operator_id: int
    node: str
    api: BackendApi | None


class Explainer:
    """Explains one order. Reads the chain's past once."""

    def __init__(self, sources: Sources, order_id: str) -> None:
        self._from, self._domain = sources, sources.chain.deployment.domain
        self._found = Explanation(order_id)
        self._view: OrderView | None = None
        self._ask()  # before the chain is read, so that the backend cannot be ahead of it
        head = sources.chain.head()
        self._now_s, self._history = head.timestamp, read_history(sources.chain, head.number)
        self._source, self._book = ApiLog(sources.api), LogBook(self._domain)
        self._unread = read_all(self._book, self._source, self._history.epochs)
        self._answer, self._lent = sources.journal.find(order_id), sources.journal.lent(order_id)

    def explain(self) -> Explanation:
        """Raises ChainError or JournalError."""
        found = self._found
        place = self._place()
        order, signer = self._order(place)
        if order is not None:
            self._tell_order(order, signer)
        self._tell_lease()
        commitment = self._commitment(place)
        if commitment is not None and order is not None:
            found.amount_units = amount_units(order.terms, commitment.units)
            self._tell_commitment(order, commitment)
        if place is None or commitment is None or order is None:
            self._undelivered(order, commitment)
        else:
            self._rooted(place, order, signer, commitment)
        for lie in self._unread.lies:
            found.add("log", "lie", lie)
        self._compare_state()
        return found

    # ------------------------------------------------------------ what is known

    def _ask(self) -> None:
        if self._from.api is None:
            return
        try:
            self._view = self._from.api.order(self._found.order_id)
        except CallFailed as error:
            self._found.add("backend", "note", f"it does not show this order: {error}")

    def _place(self) -> tuple[int, int] | None:
        """Epoch and leaf: from the journal, else from the backend, else from the published log."""
        for receipt in (self._answer.receipt if self._answer else None, self._view.receipt if self._view else None):
            if receipt is not None:
                return receipt.epoch_id, receipt.index
        found = self._book.answer_to(self._found.order_id)
        job = self._book.job_of(self._domain.commitment_digest(found.commitment)) if found else None
        return None if job is None else (job.epoch_id, job.row.index)

    def _order(self, place: tuple[int, int] | None) -> tuple[Order | None, str]:
        grant = self._answer.grant if self._answer else self._lent.grant if self._lent else None
        if grant is not None:
            self._check_signature("order", self._domain.order_id(grant.order), grant.order_signature, grant.signer)
            return grant.order, grant.signer
        log = self._book.epochs.get(place[0]) if place else None
        entry = log.orders.get(from_hex(self._found.order_id)) if log else None
        if entry is not None:
            self._check_signature("order", self._domain.order_id(entry.order), entry.signature, entry.signer)
            return entry.order, entry.signer
        view = self._view
        if view is None:
            return None, ""
        if to_hex(self._domain.order_id(view.order)) != self._found.order_id:
            self._found.add("order", "lie", "the backend shows another order under this id")
            return None, ""
        self._check_signature("order", self._domain.order_id(view.order), view.signature, view.signer)
        return view.order, view.signer

    def _commitment(self, place: tuple[int, int] | None) -> Commitment | None:
        mine = self._answer.commitment if self._answer else None
        said = self._view.commitment if self._view else None
        if mine is not None and said is not None and said != mine:
            self._found.add("commitment", "lie", f"the backend shows a commitment of {said.node}, not the journal's")
        if mine is not None:
            return mine
        found = self._book.answer_to(self._found.order_id) if place else None
        return found.commitment if found else said

    def _settlers(self) -> list[str]:
        """All settlers that the escrow ever had."""
        changes = self._history.of("SettlerChanged")
        return [self._from.chain.deployment.settler, *(c.args[n] for c in changes for n in ("previous", "settler"))]

    def _check_signature(self, what: str, digest: bytes, signature: str, *signers: str) -> None:
        try:
            found = recover(digest, signature)
        except BadSignature as error:
            found = str(error)
        if found not in signers:
            self._found.add(what, "lie", f"the {what}'s signature is {found}'s, not {signers[0]}'s")

    # ------------------------------------------------------------ the steps in words

    def _tell_order(self, order: Order, signer: str) -> None:
        terms = order.terms
        says = (
            f"lane of {order.requester}, signed by {signer}: {terms.fixed_price} + {terms.unit_price} a unit of work, "
            f"at most {terms.max_price} units, to be delivered by {terms.deadline}; cap {order.spend_cap}"
        )
        self._found.add("order", "ok", says)

    def _tell_lease(self) -> None:
        if self._lent is not None:
            lease = self._lent.grant.lease
            says = f"leased to this node at {self._lent.lent_at}, at first until {lease.expires}, signed by the settler"
            self._found.add("lease", "ok", says)
        else:
            self._found.add("lease", "note", "this home's journal has no lease of it")

    def _tell_commitment(self, order: Order, commitment: Commitment) -> None:
        terms, units, amount = order.terms, commitment.units, self._found.amount_units
        whose = "this node" if commitment.node == self._from.node else commitment.node
        self._found.add("commitment", "ok", f"{whose} committed to {units} units of work")
        formula = f"min({terms.max_price}, {terms.fixed_price} + {units} * {terms.unit_price}) = {amount} units"
        self._found.add("amount", "ok", formula)
        said = self._view.amount_units if self._view else None
        if said is not None and said != amount:
            self._found.add("amount", "lie", f"the backend says {said} units, signed terms and units give {amount}")

    # ------------------------------------------------------------ not under a root

    def _undelivered(self, order: Order | None, commitment: Commitment | None) -> None:
        end, answer, lent, node = self._found.end, self._answer, self._lent, self._from.node
        state = self._view.state if self._view else None
        if answer is not None and answer.refusal is not None:
            end("refused", f"nothing is owed: the backend refused the answer: {answer.refusal}")
        elif answer is not None and answer.acknowledged_at is not None:
            end("delivered", f"delivered {self._now_s - answer.acknowledged_at} s ago; not yet under a root")
            if state in ("queued", "leased", "expired"):
                says = f"the backend calls the order {state}, though it acknowledged this answer at"
                self._found.add("delivery", "lie", f"{says} {answer.acknowledged_at}")
        elif answer is not None:
            end("answered", "computed, not delivered yet; a running node delivers it")
        elif lent is not None and lent.abandoned is not None:
            end("abandoned", f"nothing is owed: this node ended its work without an answer: {lent.abandoned}")
        elif commitment is not None and commitment.node != node:
            end("elsewhere", f"nothing is owed to this node: {commitment.node} delivered it")
        elif order is None:
            end("unknown", "neither journal, log nor backend knows this order")
        else:
            self._not_answered(order.terms.deadline, state)

    def _not_answered(self, deadline: int, state: str | None) -> None:
        end, was_leased = self._found.end, "never leased to this node"
        if self._lent is not None:
            was_leased = f"this node had a lease until {self._lent.grant.lease.expires} and did not answer"
        if self._view is not None and state == "leased":
            end("leased", f"being worked on by {self._view.node}; {was_leased}")
        elif self._now_s > deadline:
            end("expired", f"nothing is owed: the deadline {deadline} passed without an answer; {was_leased}")
        else:
            end("queued", f"waits for a node until {deadline}; {was_leased}")

    # ------------------------------------------------------------ under a root

    def _rooted(self, place: tuple[int, int], order: Order, signer: str, commitment: Commitment) -> None:
        found, (epoch_id, index) = self._found, place
        found.epoch_id, found.index = epoch_id, index
        digest = self._domain.commitment_digest(commitment)
        operator_id = self._history.node_keys.get(commitment.node, 0)
        assert found.amount_units is not None, "computed with the commitment"
        row = Row(order.requester, signer, operator_id, found.amount_units, digest)
        if not self._tell_leaf(place, row):
            return
        self._tell_leases_of_log(epoch_id, commitment.node)
        manifest = self._manifest(order)
        if manifest is not None:
            self._tell_sample(JobRow(index, digest, operator_id, order.terms.max_price, manifest), epoch_id)
            self._tell_verdicts(digest, order, commitment, manifest)
        if order.terms.comparator == COMPARATOR_NATIVE:
            self._tell_trace(epoch_id, digest)
        self._tell_case(epoch_id, index)
        self._tell_outcome(place, row)
        if operator_id != self._from.operator_id:
            whose = f"{commitment.node} of operator {operator_id}"
            found.end("elsewhere", f"nothing is owed to this operator: {whose} delivered it")

    def _tell_leaf(self, place: tuple[int, int], row: Row) -> bool:
        """Whether the leaf that is owed is under the root on chain."""
        (epoch_id, index), posted = place, self._history.epochs.get(place[0])
        if posted is None:
            self._found.add("root", "lie", f"the backend names epoch {epoch_id}, which is not posted")
            return False
        receipts = [r for r in (self._answer and self._answer.receipt, self._view and self._view.receipt) if r]
        shown = [Leaf.of_receipt(row, index, r.siblings) for r in receipts if (r.epoch_id, r.index) == place]
        log = self._book.epochs.get(epoch_id)
        if not receipts and log is not None:
            shown = [Leaf.of_log(row, index, log)]
        if any(leaf.stands(posted.root, posted.count) for leaf in shown):
            since = f"{posted.timestamp} ({to_hex(posted.tx_hash)})"
            says = f"leaf {index} of epoch {epoch_id}, under the root on chain since {since}"
            self._found.add("root", "ok", says)
            return True
        owed = f"operator {row.operator_id}, {row.amount_units} units"
        self._found.add(
            "root", "lie", f"the leaf that is owed ({owed}) is not leaf {index} of epoch {epoch_id} on chain"
        )
        self._found.end("delivered", "no root that was shown holds what is owed")
        return False

    def _tell_leases_of_log(self, epoch_id: int, node: str) -> None:
        log = self._book.epochs.get(epoch_id)
        leases = log.leases.get(from_hex(self._found.order_id), []) if log else []
        for entry in leases:
            self._check_signature("lease", self._domain.lease_digest(entry.lease), entry.signature, *self._settlers())
        others = sorted({entry.lease.node for entry in leases} - {node})
        if others:
            self._found.add("lease", "note", f"it was leased before to {', '.join(others)}, who did not deliver")

    def _tell_sample(self, row: JobRow, epoch_id: int) -> None:
        history, constants, chain = self._history, self._from.chain.deployment.constants, self._from.chain
        seed, facts = seed_of(history, constants, epoch_id, chain.block_hash), LogFacts(self._book, self._source)
        if seed is None:
            return self._found.add("sample", "note", f"not known yet: epoch {epoch_id + 1} reveals the seed")
        sample = Sample(history, facts, constants, Standings())
        try:
            drawn, exposure = sample.row(epoch_id, seed, row), sample.exposure_units(epoch_id, row.operator_id)
        except RecordError as error:
            why = "; ".join(self._unread.missing.values()) or str(error)
            return self._found.add("sample", "note", f"cannot be recomputed now: {why}")
        self._found.sampled = drawn.sampled
        stake = history.stake_at(row.operator_id, history.epochs[epoch_id].block_number)
        says = (
            f"{'checked' if drawn.sampled else 'not checked'}: seed {to_hex(seed)[:12]}.., chance "
            f"{100 * drawn.threshold / CERTAIN:.2f} % for {exposure} units open on {stake} of stake"
        )
        if row.manifest.comparator == "native":
            standing = sample.standing(epoch_id, row.operator_id)
            says += f"; the operator's standing on native work was {standing.state} then"
        self._found.add("sample", "ok", says)

    def _tell_verdicts(self, digest: bytes, order: Order, commitment: Commitment, manifest: Manifest) -> None:
        native = order.terms.comparator == COMPARATOR_NATIVE
        otherwise = "answered what cannot be judged here" if native else "did not agree, and went to the court"
        looks = Looks(self._book, self._source, manifest, commitment, digest)
        for entry in self._book.verdicts_on(digest):
            same = entry.opening is not None and agrees(entry.opening, commitment)
            says = looks.in_words(entry) or ("computed the same answer" if same else otherwise)
            self._found.add("verdict", "note", f"verifier {entry.verdict.verifier} {says}")

    def _tell_trace(self, epoch_id: int, digest: bytes) -> None:
        kept, shown_in = self._from.journal.kept_trace(self._found.order_id), self._book.trace_epoch(digest)
        constants = self._from.chain.deployment.constants
        says = trace_in_words(self._history, constants, epoch_id, shown_in, kept, self._now_s)
        self._found.add("trace", "note", f"of commitment {to_hex(digest)}: {says}")

    def _manifest(self, order: Order) -> Manifest | None:
        """The workload's manifest from the log, or from the backend if its epoch cannot be read."""
        try:
            return self._book.manifest(order.terms.workload_id)
        except WorkloadUnknown as error:
            why = str(error)
        if self._from.api is not None:
            try:
                return self._from.api.manifest(order.terms.workload_id)
            except CallFailed as error:
                why = str(error)
        self._found.add("sample", "note", f"cannot be recomputed now: {why}")
        return None

    def _tell_case(self, epoch_id: int, index: int) -> None:
        case = self._history.case_on(epoch_id, index)
        if case is not None:
            self._found.add("case", "note", read_accusation(self._from.chain, case.opened).in_words(self._now_s))

    def _tell_outcome(self, place: tuple[int, int], row: Row) -> None:
        found, chain, history, now_s = self._found, self._from.chain, self._history, self._now_s
        constants = chain.deployment.constants
        bps = constants.fee_bps
        outcome = outcome_of(chain, history, *place, row.operator_id, now_s)
        says, is_wrong = outcome_in_words(outcome, history, constants, *place, now_s)
        found.end(outcome.code, says)
        found.tx = outcome.tx
        found.add("settlement", "lie" if is_wrong else "ok", found.says)
        if outcome.code not in ("paid", "alone"):
            return
        credit, share = outcome.gross_units - outcome.fee_units, row.amount_units * bps // 10_000
        found.credited_units = row.amount_units - share
        says = (
            f"operator {row.operator_id} grossed {outcome.gross_units} there, less floor(gross * {bps} / 10000) = "
            f"{outcome.fee_units} of fee: {credit} credited, of which {found.credited_units} for this job"
        )
        found.add("credit", "ok", says)

    # ------------------------------------------------------------ what the backend calls it

    def _compare_state(self) -> None:
        if self._view is None:
            return
        said, final = self._view.state, _FINAL.get(self._found.outcome)
        on_chain = final is not None or self._found.outcome in ("posted", "revealed", "stranded")
        contradicts = said != final if final else on_chain and said in ("paid", "void", "skipped")
        lagging = final is not None and said in ("delivered", "rooted")  # it waits for confirmations
        if on_chain and contradicts and not lagging:
            says = f"the backend calls the order {said}, on chain it is {final or 'not settled'}"
            self._found.add("state", "lie", says)
