"""The loop: lease, compute, commit; wait when there is no job. Nothing that a backend does ends it.

Up to `slots` jobs run at once. Engines and heartbeats have their own threads; one thread makes all other requests,
journals, signs and delivers.
"""

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from queue import Empty, SimpleQueue

from contracts.onchain.errors import ChainError
from contracts.protocol.pace import JobSize
from contracts.protocol.records import Lease
from contracts.protocol.wire import LeaseGrant, ReturnReason
from node_agent import errors
from node_agent.execution.engine import Engine, Execution
from node_agent.session.commit import Committer
from node_agent.session.heartbeat import LeaseRenewal
from node_agent.session.journal import NodeJournal
from node_agent.session.lease import LeaseClient
from node_agent.session.pacing import Pacer
from node_agent.session.pulse import Beat
from node_agent.session.rooted import RootWatch
from node_agent.session.showing import TraceClient
from node_agent.session.work import Work

log = logging.getLogger(__name__)

_JITTER = 0.25
_STAKE_TOO_LOW = "stake_too_low"
"""The backend's code where a stake does not cover one more job."""


@dataclass(kw_only=True)
class NodeSession:
    """A node at work.

    `engines`: by workload id; jobs of each are requested in turn. `poll_s`: pause when there is no job or after an
    error, give or take a quarter, so that nodes spread. `slots`: most jobs held at once; one per workload whose engine
    is not `concurrent`. `beat`: receives what is being done.
    """

    leases: LeaseClient
    committer: Committer
    watch: RootWatch
    traces: TraceClient
    journal: NodeJournal
    engines: Mapping[str, Engine]
    pacer: Pacer
    clock: Callable[[], int]
    poll_s: float
    slots: int = 1
    beat: Beat = lambda state, detail: None

    def __post_init__(self) -> None:
        self._turns = cycle(self.engines)
        self._told: errors.AgentError | ChainError | None = None
        self._stop = threading.Event()
        self._under_way: dict[str, Work] = {}
        self._over: SimpleQueue[Work] = SimpleQueue()
        self._failed: dict[str, int] = {}
        """Orders that failed here, and when the last lease of each ends: until then it occupies a slot."""

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop` is set; jobs under way are finished first. Raises JournalError."""
        self._stop = stop
        try:
            while not stop.is_set():
                if not self.step() and not self._under_way:
                    stop.wait(self._pause_s())
            while self._under_way:
                self._tried(self._deliver_one)
        finally:
            for work in self._under_way.values():
                work.heartbeat.end()

    def step(self) -> bool:
        """One round: fills the free slots and delivers one finished job, if any. Returns whether it delivered one, so
        that the next can be requested at once. Raises JournalError."""
        begun, delivered = self._tried(self._take), self._tried(self._deliver_one)
        if begun is None or delivered is None:
            return False
        if delivered or not self._under_way:
            self.beat("delivered" if delivered else "no_job", "")
        if self._told is not None:
            log.info("continuing after: %s", self._told.code)
            self._told = None
        return delivered

    def _tried(self, part: Callable[[], bool]) -> bool | None:
        """The result of a part of a round; None if it failed, after reporting that."""
        try:
            return part()
        except (
            errors.CallFailed,
            errors.LeaseRejected,
            errors.JobAbandoned,
            errors.RootsOverdue,
            errors.JournalFull,
            ChainError,
        ) as error:
            self._report(error)
            return None

    def _take(self) -> bool:
        """Requests jobs of each workload in turn until the slots are full or none has any. Returns whether one
        began."""
        self.committer.resume()
        self.watch.require_rooted()
        self.traces.step()
        self.journal.require_room()
        begun = without = 0
        while without < len(self.engines) and len(held := self._held()) < self.slots and not self._stop.is_set():
            workload_id = next(self._turns)
            grant = self._ask(workload_id, held) if self._may_begin(workload_id) else None
            if grant is None:
                without += 1
            elif self._begin(grant):
                begun, without = begun + 1, 0
            else:
                break
        return begun > 0

    def _ask(self, workload_id: str, held: Sequence[str]) -> LeaseGrant | None:
        try:
            return self.leases.ask(workload_id, held)
        except errors.BackendRefused as error:
            if error.reason == _STAKE_TOO_LOW and self._under_way:
                return None  # the stake is fully used: nothing is wrong
            raise

    def _held(self) -> list[str]:
        """The orders whose leases this node holds: those under way, and those that failed."""
        now = self.clock()
        return [*self._under_way, *(order_id for order_id, ends in self._failed.items() if now <= ends)]

    def _may_begin(self, workload_id: str) -> bool:
        is_idle = all(work.workload_id != workload_id for work in self._under_way.values())
        return is_idle or self.engines[workload_id].concurrent

    def _begin(self, grant: LeaseGrant) -> bool:
        """Starts work on a job. False for one that is or was under way already."""
        order_id = grant.lease.order_id
        if order_id in self._under_way:  # its lease was lost meanwhile, and granted again
            if not self._under_way[order_id].given_back:
                self._under_way[order_id].keep(self._heartbeat(grant))
            return False
        answered = self.journal.find(order_id)
        if answered is not None:
            log.info("%s is leased again; its journaled answer is sent", order_id)
            self.committer.deliver(answered)
            return False
        if order_id in self._failed:  # it would only fail again
            self._failed[order_id] = grant.lease.expires
            return False
        self.journal.lend(grant, self.clock())
        try:
            job = self.leases.accept(grant)
        except errors.LeaseRejected as error:
            self._give_up(order_id, grant.lease.expires, error, "too_slow" if error.code == "too_slow" else "refused")
            raise
        log.info("working on %s until %d", order_id, grant.lease.expires)
        self.beat("working", order_id)
        engine = self.engines[grant.order.terms.workload_id]
        work = Work(job, engine, self._heartbeat(grant), self._over, begun_at=self.clock())
        self._under_way[order_id] = work
        work.start()
        return True

    def _deliver_one(self) -> bool:
        """Commits to a finished job. False when none is under way, or none finished while a slot is free."""
        work = self._next_over() if self._under_way else None
        if work is None:
            return False
        try:
            if work.given_back:
                return False
            self.committer.commit(work.job.grant, self._execution_of(work))
        finally:
            del self._under_way[work.order_id]
            work.heartbeat.end()
        return True

    def _execution_of(self, work: Work) -> Execution:
        """The computed result; the pacer learns its duration. Raises EngineFailed or LeaseLost."""
        now = self.clock()
        try:
            execution = work.execution(now)
        except errors.LeaseLost as error:
            self._failed[work.order_id] = work.heartbeat.expires
            self.journal.abandon(work.order_id, str(error))
            raise
        except errors.EngineFailed as error:
            self._give_up(work.order_id, work.heartbeat.expires, error, "failed")
            raise
        written = execution.units if work.job.size.written_tokens else 0
        self.pacer.finished(work.workload_id, JobSize(work.job.size.read_tokens, written), now - work.begun_at)
        return execution

    def _next_over(self) -> Work | None:
        """The next finished job; None if none finishes for a while and a slot is free. Gives late jobs back."""
        while True:
            try:
                return self._over.get(timeout=self._pause_s())
            except Empty:
                self._give_back_late()
                if len(self._under_way) < self.slots:
                    return None

    def _give_back_late(self) -> None:
        """Gives back every job that can no longer be answered in time. Its engine still occupies the slot."""
        for work in self._under_way.values():
            size, until = work.job.size, work.until
            why = None if work.given_back else self.pacer.out_of_time(work.workload_id, size, work.begun_at, until)
            if why is None:
                continue
            work.given_back = True
            work.heartbeat.end()
            way_out = "It was given back, for a faster host; nothing is signed."
            error = errors.OutOfTime(f"{work.order_id} can't be answered in time: {why}.", way_out=way_out, until=until)
            self._give_up(work.order_id, work.heartbeat.expires, error, "too_slow")
            self._report(error)

    def _give_up(self, order_id: str, lent_until: int, error: errors.AgentError, reason: ReturnReason) -> None:
        """Gives a job back with the reason. After an engine's failure the lease occupies a slot until it ends, so that
        a broken host does not use up the queue."""
        gave_back = self.leases.give_back(order_id, reason, error.message)
        self.journal.abandon(order_id, str(error))
        if reason == "failed" or not gave_back:
            self._failed[order_id] = lent_until

    def _heartbeat(self, grant: LeaseGrant) -> LeaseRenewal:
        return LeaseRenewal(grant.lease, lambda: self._renew(grant), self.clock)

    def _renew(self, grant: LeaseGrant) -> Lease:
        lease = self.leases.renew(grant)
        self.beat("working", lease.order_id)
        return lease

    def _pause_s(self) -> float:
        return self.poll_s * random.uniform(1 - _JITTER, 1 + _JITTER)

    def _report(self, error: errors.AgentError | ChainError) -> None:
        """Logs an error once while it lasts."""
        self.beat(error.code, str(error))
        if self._told is None or (self._told.code, str(self._told)) != (error.code, str(error)):
            unexpected = isinstance(error, errors.EngineFailed)
            log.error("%s: %s", error.code, error, exc_info=error.__cause__ if unexpected else None)
        self._told = error
