"""A job under way: one thread runs its engine, another renews its lease."""

import threading
from queue import SimpleQueue

from node_agent.errors import EngineFailed, LeaseLost
from node_agent.execution.engine import Engine, Execution
from node_agent.execution.errors import ExecutionError
from node_agent.session.heartbeat import LeaseRenewal
from node_agent.session.lease import CheckedJob


class Work:
    """One job from its start to its answer. Its threads end with the process and sign nothing.

    `over`: receives this object once the engine has succeeded or failed. `begun_at`: Unix seconds. `given_back`:
    whether its lease was given back; its result is then dropped.
    """

    def __init__(
        self, job: CheckedJob, engine: Engine, heartbeat: LeaseRenewal, over: "SimpleQueue[Work]", *, begun_at: int
    ) -> None:
        self.job, self.heartbeat, self.begun_at, self.given_back = job, heartbeat, begun_at, False
        self._engine, self._over = engine, over
        self._execution: Execution | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._compute, name="work", daemon=True)

    @property
    def order_id(self) -> str:
        return self.job.grant.lease.order_id

    @property
    def until(self) -> int:
        """When its answer must be there, Unix seconds: at the deadline, or at the end of a lease beyond it."""
        return max(self.job.grant.order.terms.deadline, self.heartbeat.expires)

    @property
    def workload_id(self) -> str:
        return self.job.grant.order.terms.workload_id

    def start(self) -> None:
        self.heartbeat.start()
        self._thread.start()

    def keep(self, heartbeat: LeaseRenewal) -> None:
        """Continues under another lease of the same job."""
        self.heartbeat.end()
        self.heartbeat = heartbeat
        heartbeat.start()

    def execution(self, now: int) -> Execution:
        """The computed result. Raises EngineFailed; LeaseLost if the lease has ended by `now`."""
        if self._execution is None:
            error = self._failure
            name = error.code if isinstance(error, ExecutionError) else type(error).__name__
            says = f"The engine failed on {self.order_id}: {name}: {error}."
            way_out = "Nothing was signed; the job is given back, for another node."
            raise EngineFailed(says, way_out=way_out, order_id=self.order_id, cause=name) from error
        if self.heartbeat.expires <= now:
            deadline = self.job.grant.order.terms.deadline
            why = "this host was too slow" if deadline <= now else "its heartbeats did not reach the backend"
            raise LeaseLost(
                f"The lease of {self.order_id} ended at {self.heartbeat.expires}, the answer was there at {now}, after "
                f"{now - self.begun_at} s of work; the order's deadline is {deadline}: {why}.",
                way_out="Nothing was signed.",
                expires=self.heartbeat.expires,
                now=now,
            )
        return self._execution

    def _compute(self) -> None:
        try:
            self._execution = self._engine.execute(self.job.prompts, self.job.params)
        except Exception as error:  # noqa: BLE001  `execution` raises it
            self._failure = error
        self._over.put(self)
