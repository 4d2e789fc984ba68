"""The standing of operators on native workloads at each epoch, from the published log alone.

A check counts from the epoch in whose log its job's trace stands, observations having been published before; so
whoever reads the same log gets the same standing, bit for bit.
"""

from collections.abc import Callable
from contextlib import suppress

from contracts.protocol.errors import BadFingerprint
from contracts.protocol.native import CLEAR, Check, Standing, examine, standing
from verifier.sampling.epoch_log import Job, LogBook
from verifier.sampling.source import LogSource, shown_trace

StandingAt = Callable[[int, int], Standing]
"""An operator's standing by the logs of all epochs before one."""


def unwatched(operator_id: int, epoch_id: int) -> Standing:
    """Of a log without native work."""
    return CLEAR


class Standings:
    """`standing` of operators, by the logs of the epochs before one. Each check's blobs are read once."""

    def __init__(self, book: LogBook, source: LogSource) -> None:
        self._book, self._source = book, source
        self._checks: dict[int, list[tuple[int, Check]]] = {}
        self._seen: set[int] = set()

    def __call__(self, operator_id: int, epoch_id: int) -> Standing:
        """Raises LogUnavailable, WrongLog, WrongFact where the log lacks, or has wrong, what it names."""
        for earlier in sorted(self._book.epochs.keys() - self._seen):
            if earlier < epoch_id:
                self._read(earlier)
        known = sorted(self._checks.get(operator_id, []), key=lambda one: one[0])
        return standing(check for epoch, check in known if epoch < epoch_id)

    def _read(self, epoch_id: int) -> None:
        found: dict[int, list[tuple[int, Check]]] = {}
        for digest in sorted(self._book.epochs[epoch_id].traces):
            job = self._book.job_of(digest)
            if job is not None and job.is_native and self._book.trace_epoch(digest) == epoch_id:
                checks = [(epoch_id, check) for check in self._of_job(job, epoch_id)]
                found.setdefault(job.row.operator_id, []).extend(checks)
        for operator, checks in found.items():
            self._checks.setdefault(operator, []).extend(checks)
        self._seen.add(epoch_id)

    def _of_job(self, job: Job, epoch_id: int) -> list[Check]:
        trace, units = shown_trace(self._source, job), job.commitment.commitment.units
        checks = []
        for verifier, name in self._book.observations_on(job.digest, until=epoch_id):
            observation = self._source.blob(name)
            with suppress(BadFingerprint):  # a verifier that publishes nonsense says nothing about anybody
                checks.append(examine(job.manifest.weights_sha256, verifier, trace, observation, units))
        return checks
