"""The verifier: composition root and loop.

Each turn reads the chain and the log, acts in court, sends verdicts, and gives the worker its next job: cases first,
then own rows, then rows of verifiers who have not checked theirs. Only the worker's thread computes, so windows of some
seconds are kept while a job runs. All state is in the chain, the log and the journal.
"""

import logging
import time
from collections.abc import Callable

from contracts.onchain.chain import Chain
from contracts.onchain.errors import ChainError
from contracts.onchain.sender import Sender
from contracts.protocol.errors import AssayError, BadFingerprint, ProtocolError
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.native.fingerprint import NativeOpening
from contracts.protocol.records import COMPARATORS, Verdict
from contracts.protocol.typed_data import agrees, answer_commit, differences
from contracts.protocol.wire import SubmitVerdict
from contracts.record.errors import ChainMoved, LogUnavailable, RecordError
from contracts.record.follow import Follower
from contracts.record.history import PostedEpoch
from contracts.record.log_book import LogBook, LogFacts, PaidJob, read_epoch
from contracts.record.log_source import LogSource, claimed_output, published_lines
from contracts.record.row_checks import check_job, check_prompts, require
from contracts.record.sample import Sample, seed_of
from contracts.record.standings import Standings
from verifier.errors import BackendSilent, SecondAnswer, VerdictRefused, VerifierJournalFull
from verifier.reexecution import Engines, Finished, ReexecutionWorker
from verifier.verdicts.court import Court
from verifier.verdicts.duties import Duty, duties_of, order_of_work
from verifier.verdicts.journal import VerifierAnswer, VerifierJournal
from verifier.verdicts.publisher import Publisher

_log = logging.getLogger(__name__)

POLL_S = 1.0
_RETRY_S = 5


class Verifier:
    """One verifier key at work. `step` is one turn and never blocks on a computation."""

    def __init__(
        self,
        chain: Chain,
        sender: Sender,
        source: LogSource,
        publisher: Publisher,
        journal: VerifierJournal,
        engines: Engines,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._chain, self._signer, self._source = chain, sender.signer, source
        self._publisher, self._journal = publisher, journal
        self._view = Follower(chain)
        self._court = Court(chain, sender, journal, clock)
        self._worker = ReexecutionWorker(engines)
        self._constants = chain.deployment.constants
        self._loaded: set[str] = set()
        self._roots: dict[int, tuple[bytes, bytes]] = {}
        self._forget()

    def _forget(self) -> None:
        """Drops what was derived from blocks, at the start and after a reorg; keeps the logs if all are still valid."""
        self._generation = self._view.generation
        self._drawn: dict[int, list[Duty]] = {}
        self._not_before: dict[object, float] = {}
        self._abstained: set[bytes] = set()
        posted = self._view.history.epochs
        if self._roots and all(n in posted and _roots(posted[n]) == roots for n, roots in self._roots.items()):
            return  # every log that was read is still the chain's
        self._roots = {}
        self._book = LogBook(self._chain.deployment.domain)
        self._facts, self._standings = LogFacts(self._book, self._source), Standings()

    def run(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Runs turns until told to stop. Retries what fails, and logs each failure once, however long it lasts."""
        _log.info("verifier %s watches escrow %s", self._signer.address, self._chain.deployment.escrow)
        told = ""
        while not should_stop():
            try:
                self.step()
            except (ChainError, ChainMoved, VerifierJournalFull) as error:
                _log.log(logging.DEBUG if error.code == told else logging.ERROR, "%s: %s", error.code, error)
                told = error.code
            else:
                if told:
                    _log.info("continuing after: %s", told)
                told = ""
            self._sleep(POLL_S)
        self._worker.close()

    @property
    def computing(self) -> bool:
        return self._worker.computing

    def step(self) -> None:
        """One turn. Raises ChainError when the chain does not answer."""
        head = self._view.refresh()
        if self._view.generation != self._generation:
            _log.warning("the chain was reorganised; reading again what came from blocks that are gone")
            self._forget()
        self._collect()
        self._read_logs(head.timestamp)
        account = self._view.history.verifier_keys.get(self._signer.address)
        if account is None:
            return
        self._court.act(self._view.history, self._book, account, head.timestamp)
        self._draw(account, head.timestamp)
        self._publish(head.timestamp)
        self._start_next(account, head.timestamp)

    # ------------------------------------------------------------ reading

    def _read_logs(self, now: int) -> None:
        for epoch_id, posted in sorted(self._view.history.epochs.items()):
            if epoch_id in self._book or not self._may_try(("log", epoch_id)):
                continue
            try:
                read_epoch(self._book, posted, published_lines(self._source, posted))
            except (RecordError, ProtocolError) as error:
                self._later(("log", epoch_id), error)
                continue
            self._roots[epoch_id] = _roots(posted)
            if now <= posted.timestamp + self._constants.case_window_s:
                self._load_engines(epoch_id)
            if now > posted.timestamp + self._constants.unbond_s:  # no case on it is open or can be opened
                self._book.forget(epoch_id)

    def _load_engines(self, epoch_id: int) -> None:
        """Loads ahead of the first job, so that no case is answered late. A failure shows again with each job."""
        for job in self._book.jobs(epoch_id):
            workload_id = job.order.order.terms.workload_id
            if workload_id not in self._loaded:
                self._loaded.add(workload_id)
                self._worker.load(job.manifest)

    def _draw(self, account: int, now: int) -> None:
        """Finds this verifier's duties in every revealed epoch in which a case can still be opened."""
        for epoch_id in sorted(self._book.epochs):
            posted = self._view.history.epochs[epoch_id]
            over = now > posted.timestamp + self._constants.case_window_s
            if epoch_id in self._drawn or over or not posted.count or not self._may_try(("draw", epoch_id)):
                continue
            history = self._view.history
            seed = seed_of(history, self._constants, epoch_id, self._chain.block_hash)
            if seed is not None:
                try:
                    drawn = Sample(history, self._facts, self._constants, self._standings).draw(epoch_id, seed)
                except RecordError as error:  # a trace or observation is not published, or is malformed
                    self._later(("draw", epoch_id), error)
                    continue
                jobs = {job.row.index: job for job in self._book.jobs(epoch_id)}
                self._drawn[epoch_id] = duties_of(drawn, jobs, account, history, self._constants)
                sampled = sum(row.sampled for row in drawn)
                _log.info("epoch %d: %d of %d rows sampled", epoch_id, sampled, len(drawn))

    # ------------------------------------------------------------ working

    def _start_next(self, account: int, now: int) -> None:
        if self._worker.busy:
            return
        for job in self._next_jobs(account, now):
            if job.digest in self._abstained or not self._may_try(job.digest):
                continue
            input_bytes = self._verified_input(job)
            if input_bytes is not None:
                _log.info("epoch %d row %d: re-executing", job.epoch_id, job.row.index)
                node_class = self._class_of(job) if job.is_native else None
                self._worker.start(
                    job, input_bytes, claimed_output(self._source, job.commitment.commitment), node_class
                )
                return

    def _next_jobs(self, account: int, now: int) -> list[PaidJob]:
        history = self._view.history
        asked = (self._book.job_at(c.epoch_id, c.index) for c in self._court.wants(history, account, now))
        last_log_at = max((history.epochs[epoch_id].timestamp for epoch_id in self._book.epochs), default=0)
        drawn = [duty for duties in self._drawn.values() for duty in duties]
        in_court = {(case.epoch_id, case.index) for case in history.cases.values()}
        duties = [
            duty
            for duty in order_of_work(drawn, now, last_log_at)
            if self._journal.answer(duty.job.digest) is None
            and (duty.job.epoch_id, duty.job.row.index) not in in_court
            and not (duty.rank and self._book.verdicts_on(duty.job.digest))
        ]
        return [job for job in asked if job is not None] + [duty.job for duty in duties]

    def _verified_input(self, job: PaidJob) -> bytes | None:
        """The job's input, once every record of the job is checked; None to abstain, for now or for good."""
        try:
            wanted, found = COMPARATORS[job.manifest.comparator], job.order.order.terms.comparator
            require("the comparator is the workload's", expected=wanted, found=found)
            check_job(self._chain.deployment.domain, job, self._view.history.node_keys)
            input_bytes = self._source.blob(job.order.order.terms.prompt_root)
            check_prompts(job, input_bytes)
        except LogUnavailable as error:
            self._later(job.digest, error)
        except RecordError as error:
            self._abstain(job, error.code, error)
        else:
            return input_bytes
        return None

    def _class_of(self, job: PaidJob) -> str | None:
        """The numeric class in the newest trace of the job's node, if there is one."""
        shown = self._book.last_trace_of(job.commitment.commitment.node)
        try:
            return None if shown is None else NativeOpening.decode(self._source.blob(shown.trace)).numeric_class
        except (RecordError, BadFingerprint) as error:
            _log.warning("the class of %s is not known: %s", job.commitment.commitment.node, error)
            return None

    def _collect(self) -> None:
        finished = self._worker.poll()
        if finished is None:
            return
        if finished.error is not None:
            self._abstain(finished.job, finished.error.code, finished.error)
            return
        self._record(finished)

    def _record(self, finished: Finished) -> None:
        """Journals an answer; `_publish` signs the verdict on it."""
        assert finished.answered is not None
        job, opening, seen = finished.job, finished.answered.opening, finished.answered.observation
        commitment = job.commitment.commitment
        answer = VerifierAnswer(job.digest, job.epoch_id, job.row.index, opening, agrees(opening, commitment), seen)
        try:
            self._journal.record(answer)
        except SecondAnswer as error:
            self._abstain(job, error.code, error)
            return
        differing = "was observed" if seen else f"differs in {', '.join(differences(opening, commitment))}"
        verb = "agrees" if answer.agrees else differing
        _log.info("epoch %d row %d: %s", job.epoch_id, job.row.index, verb)

    # ------------------------------------------------------------ verdicts

    def _publish(self, now: int) -> None:
        """Signs a verdict on every answered duty, drops duties that are done or over, and sends."""
        for epoch_id, duties in self._drawn.items():
            for duty in duties:
                answer = self._journal.answer(duty.job.digest)
                if answer is not None:
                    self._journal.record_verdict(self._verdict(answer))
            self._drawn[epoch_id] = [
                duty for duty in duties if now <= duty.ends_at and not self._journal.has_verdict(duty.job.digest)
            ]
        for submit in self._journal.unacknowledged():
            self._send(submit)

    def _verdict(self, answer: VerifierAnswer) -> SubmitVerdict:
        """The verdict on an answer; without its opening if the answers differ, since the court hears that first."""
        hidden = answer_commit(answer.opening, answer.commitment_digest, self._signer.address)
        verdict = Verdict(
            commitment_digest=to_hex(answer.commitment_digest),
            verifier=self._signer.address,
            answer_commit=to_hex(hidden),
        )
        signature = self._signer.sign(self._chain.deployment.domain.verdict_digest(verdict))
        seen = to_hex(keccak(answer.observation)) if answer.observation else None
        opening = answer.opening if answer.agrees or seen else None
        return SubmitVerdict(
            epoch_id=answer.epoch_id, verdict=verdict, signature=signature, opening=opening, observation=seen
        )

    def _send(self, submit: SubmitVerdict) -> None:
        digest = submit.verdict.commitment_digest
        key = ("verdict", digest)
        if not self._may_try(key):
            return
        try:
            answer = self._journal.answer(from_hex(digest))
            self._publisher.send(submit, answer.observation if answer is not None else b"")
        except VerdictRefused as error:
            _log.error("%s: %s", error.code, error)
            self._not_before[key] = float("inf")
        except BackendSilent as error:
            self._later(key, error)
        else:
            self._journal.acknowledge(digest)

    # ------------------------------------------------------------ retries

    def _may_try(self, key: object) -> bool:
        return self._clock() >= self._not_before.get(key, 0.0)

    def _later(self, key: object, error: AssayError) -> None:
        _log.warning("%s: %s", error.code, error)
        self._not_before[key] = self._clock() + _RETRY_S

    def _abstain(self, job: PaidJob, code: str, error: Exception) -> None:
        _log.error("epoch %d row %d: abstains, %s: %s", job.epoch_id, job.row.index, code, error)
        self._abstained.add(from_hex(job.row.digest))


def _roots(posted: PostedEpoch) -> tuple[bytes, bytes]:
    return posted.root, posted.log_root
