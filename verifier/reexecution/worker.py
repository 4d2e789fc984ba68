"""One thread that computes, one job at a time, so that court windows are kept while a job runs.

Engines are not safe to call twice at once; here they are called from this thread alone.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from contracts.protocol.manifest import Manifest
from contracts.protocol.records import Opening
from node_agent.execution.errors import ExecutionError
from verifier.reexecution.engines import Engines, answer
from verifier.sampling.epoch_log import Job


@dataclass(frozen=True)
class Finished:
    """A job that was run. Exactly one of `opening` and `error` is set; an error means to abstain, never to accuse."""

    job: Job
    opening: Opening | None
    error: ExecutionError | None


class Worker:
    """Runs jobs in the background. `start` only when not `busy`; `poll` hands out what finished, once."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reexecution")
        self._running: Future[Finished] | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs, or ran and was not yet polled."""
        return self._running is not None

    def start(self, job: Job, input_bytes: bytes, claimed: bytes) -> None:
        """Begins a job. `claimed`: see `answer`."""
        assert self._running is None, "the worker runs one job at a time"
        self._running = self._pool.submit(self._run, job, input_bytes, claimed)

    def load(self, manifest: Manifest) -> None:
        """Loads a workload's engine ahead of its first job. Its errors come up again when a job needs it."""
        self._pool.submit(self._engines.get, manifest)

    def poll(self) -> Finished | None:
        """What has finished since the last call, or None."""
        if self._running is None or not self._running.done():
            return None
        finished, self._running = self._running.result(), None
        return finished

    def close(self) -> None:
        """Waits for the job under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: Job, input_bytes: bytes, claimed: bytes) -> Finished:
        try:
            engine = self._engines.get(job.manifest)
            return Finished(job, answer(engine, input_bytes, job.order.params, claimed), None)
        except ExecutionError as error:
            return Finished(job, None, error)
