"""One job at a time: lease, compute, commit; wait when there is none. Nothing that a backend does ends it."""

import logging
import random
import threading
from collections.abc import Callable, Mapping
from itertools import cycle

from contracts.onchain.errors import ChainError
from contracts.protocol.records import Lease
from contracts.protocol.wire import LeaseGrant
from node_agent.errors import (
    AgentError,
    BackendError,
    EngineFailed,
    JobAbandoned,
    JournalFull,
    LeaseLost,
    LeaseRejected,
    NotRooted,
)
from node_agent.execution.engine import Engine, Execution
from node_agent.execution.errors import ExecutionError
from node_agent.session.commit import Committer
from node_agent.session.heartbeat import Heartbeat
from node_agent.session.journal import Journal
from node_agent.session.lease import Job, LeaseDesk
from node_agent.session.pulse import Beat, silent
from node_agent.session.rooted import RootWatch
from node_agent.session.showing import TraceDesk

log = logging.getLogger(__name__)

_JITTER = 0.25


class NodeSession:
    """A node at work.

    Args:
        engines: the engine of each workload id; asked for in turn.
        poll_s: pause when there is no job or something went wrong, give or take a quarter, so that nodes spread.
        beat: hears what is being done.
    """

    def __init__(
        self,
        *,
        desk: LeaseDesk,
        committer: Committer,
        watch: RootWatch,
        traces: TraceDesk,
        journal: Journal,
        engines: Mapping[str, Engine],
        clock: Callable[[], int],
        poll_s: float,
        beat: Beat = silent,
    ) -> None:
        self._desk, self._committer, self._watch, self._journal = desk, committer, watch, journal
        self._traces = traces
        self._engines, self._clock, self._poll_s, self._beat = engines, clock, poll_s, beat
        self._turns = cycle(engines)
        self._told: AgentError | ChainError | None = None
        self._failed: set[str] = set()

    def run(self, stop: threading.Event) -> None:
        """Serves until `stop` is set; a job under way is finished first. Raises JournalError."""
        while not stop.is_set():
            if not self.step():
                stop.wait(self._poll_s * random.uniform(1 - _JITTER, 1 + _JITTER))

    def step(self) -> bool:
        """One round. True when a job was served, so that the next may be asked for at once. Raises JournalError."""
        try:
            self._committer.resume()
            self._watch.require_rooted()
            self._traces.step()
            self._journal.require_room()
            served = self._serve_next()
        except (BackendError, LeaseRejected, JobAbandoned, NotRooted, JournalFull, ChainError) as error:
            self._report(error)
            return False
        self._beat("delivered" if served else "no_job", "")
        if self._told is not None:
            log.info("going on after: %s", self._told.code)
            self._told = None
        return served

    def _serve_next(self) -> bool:
        for _ in self._engines:
            workload_id = next(self._turns)
            grant = self._desk.ask(workload_id)
            if grant is not None:
                return self._serve(grant)
        return False

    def _serve(self, grant: LeaseGrant) -> bool:
        order_id = grant.lease.order_id
        answered = self._journal.find(order_id)
        if answered is not None:
            log.info("%s is lent again; its journaled answer is sent", order_id)
            self._committer.deliver(answered)
            return False
        if order_id in self._failed:  # the lease stays ours until it ends; failing again helps nobody
            return False
        self._journal.lend(grant, self._clock())
        try:
            self._compute_and_commit(self._desk.accept(grant))
        except (LeaseRejected, JobAbandoned) as error:
            self._failed.add(order_id)
            self._journal.abandon(order_id, str(error))
            raise
        return True

    def _compute_and_commit(self, job: Job) -> None:
        grant = job.grant
        order_id = grant.lease.order_id
        log.info("working on %s until %d", order_id, grant.lease.expires)
        self._beat("working", order_id)
        with Heartbeat(grant.lease, lambda: self._renew(grant), self._clock) as beat:
            execution = self._execute(job)
            now = self._clock()
            if beat.expires <= now:
                raise LeaseLost(
                    f"The lease of {order_id} ended at {beat.expires}, the answer was there at {now}.",
                    way_out="Nothing was signed; this host may be too slow for the workload, or lost its connection.",
                    expires=beat.expires,
                    now=now,
                )
            self._committer.commit(grant, execution)

    def _renew(self, grant: LeaseGrant) -> Lease:
        lease = self._desk.renew(grant)
        self._beat("working", lease.order_id)
        return lease

    def _execute(self, job: Job) -> Execution:
        order_id = job.grant.lease.order_id
        engine = self._engines[job.grant.order.terms.workload_id]
        try:
            return engine.execute(job.input_bytes, job.grant.params)
        except Exception as error:
            name = error.code if isinstance(error, ExecutionError) else type(error).__name__
            raise EngineFailed(
                f"The engine failed on {order_id}: {name}: {error}.",
                way_out="Nothing was signed, the lease runs out and another node gets the job.",
                order_id=order_id,
                cause=name,
            ) from error

    def _report(self, error: AgentError | ChainError) -> None:
        """Says what is wrong once, not at every round while it lasts."""
        self._beat(error.code, str(error))
        if self._told is None or (self._told.code, str(self._told)) != (error.code, str(error)):
            unexpected = isinstance(error, EngineFailed)
            log.error("%s: %s", error.code, error, exc_info=error.__cause__ if unexpected else None)
        self._told = error
