"""One thread that runs one job at a time, so that court windows are kept meanwhile.

Only this thread calls engines, which are not thread-safe.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from contracts.protocol.manifest import Manifest
from contracts.record.log_book import PaidJob
from node_agent.execution.errors import ExecutionError
from verifier.reexecution.engines import Answered, Engines, answer, look


@dataclass(frozen=True)
class Finished:
    """A finished job. Exactly one of `answered` and `error` is set; after an error the verifier abstains."""

    job: PaidJob
    answered: Answered | None
    error: ExecutionError | None


class ReexecutionWorker:
    """Runs jobs in the background. Call `start` only when not `busy`."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reexecution")
        self._running: Future[Finished] | None = None

    @property
    def busy(self) -> bool:
        """Whether a job runs, or has finished and was not polled."""
        return self._running is not None

    @property
    def computing(self) -> bool:
        return self._running is not None and not self._running.done()

    def start(self, job: PaidJob, input_bytes: bytes, claimed: bytes, node_class: str | None = None) -> None:
        """Begins a job. `claimed`: see `answer`; `node_class`: see `look`."""
        assert self._running is None, "the worker runs one job at a time"
        self._running = self._pool.submit(self._run, job, input_bytes, claimed, node_class)

    def load(self, manifest: Manifest) -> None:
        """Loads a workload's engine ahead of its first job, which raises its errors again."""
        self._pool.submit(self._engines.get, manifest)

    def poll(self) -> Finished | None:
        """The job that has finished since the last call, if any."""
        if self._running is None or not self._running.done():
            return None
        finished, self._running = self._running.result(), None
        return finished

    def close(self) -> None:
        """Waits for the job under way."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, job: PaidJob, input_bytes: bytes, claimed: bytes, node_class: str | None) -> Finished:
        try:
            engine = self._engines.get(job.manifest)
            if job.is_native:
                commitment = job.commitment.commitment
                found = look(engine, input_bytes, job.params, claimed, commitment, node_class)
            else:
                found = Answered(answer(engine, input_bytes, job.params, claimed))
            return Finished(job, found, None)
        except ExecutionError as error:
            return Finished(job, None, error)
