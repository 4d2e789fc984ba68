"""One native job in words: whether its trace is shown, and what each verifier observed.

Observations are judged again here, from the published log (`contracts.protocol.native`).
"""

from dataclasses import dataclass

from contracts.protocol.constants import Constants
from contracts.protocol.errors import BadFingerprint
from contracts.protocol.log import VerdictEntry
from contracts.protocol.manifest import Manifest
from contracts.protocol.native import Check, Finding, examine, judge
from contracts.protocol.native.observation import Observation
from contracts.protocol.records import COMPARATOR_NATIVE, Commitment
from contracts.protocol.trace import opens_at
from contracts.record.errors import RecordError
from contracts.record.history import History
from contracts.record.log_book import LogBook
from contracts.record.log_source import LogSource
from node_agent.session.journal import KeptTrace


def trace_in_words(
    history: History, constants: Constants, epoch_id: int, shown_in: int | None, kept: KeptTrace | None, now_s: int
) -> str:
    """The state of a job's trace. `epoch_id`: of the job's row. `shown_in`: the first epoch whose log has the trace.

    `kept`: the node's journal entry, if any. `now_s`: the chain's time, Unix seconds.
    """
    following = history.epochs.get(epoch_id + 1)
    if shown_in is not None:
        return f"shown in the log of epoch {shown_in}, so the checks of this job count"
    if kept is not None and kept.shown_at is not None:
        return f"the backend took it at {kept.shown_at}; its next log has it"
    if following is None:
        return f"will be shown after the check period, which begins when epoch {epoch_id + 1} is posted"
    due_at = opens_at(COMPARATOR_NATIVE, history.epochs[epoch_id].timestamp, following.timestamp, constants)
    if now_s <= due_at:
        return f"will be shown from {due_at} on, when no verifier can copy it any more"
    if now_s <= due_at + constants.epoch_max_s:
        return f"due since {due_at} and not shown: {_why_unshown(kept)}"
    until = due_at + constants.unbond_s
    if now_s > until:
        return f"was never shown; since {until} that has no consequence any more"
    return f"OVERDUE since {due_at}: no native jobs until it is shown, or until {until}; {_why_unshown(kept)}"


def _why_unshown(kept: KeptTrace | None) -> str:
    if kept is None:
        return "this home's journal does not have it: run the node from the home that computed the job"
    if kept.refusal is not None:
        return f"the backend refused it: {kept.refusal}"
    return "`assay node run` shows it by itself"


@dataclass(frozen=True)
class Looks:
    """Verifiers' observations of one commitment. `digest`: the commitment's, 32 bytes."""

    book: LogBook
    source: LogSource
    manifest: Manifest
    commitment: Commitment
    digest: bytes

    def in_words(self, entry: VerdictEntry) -> str | None:
        """The judgement of one verdict's observation; None for a verdict without one."""
        seen = self.book.observation_of(self.book.domain.verdict_digest(entry.verdict))
        shown_in, shown = self.book.trace_epoch(self.digest), self.book.trace_of(self.digest)
        if seen is None:
            return None
        if shown is None or shown_in is None:
            return "observed it from another class; that is judged once the trace is shown"
        if seen[0] > shown_in:
            return "published its observation after the trace, so it does not count"
        try:
            trace, observation = self.source.blob(shown.trace), self.source.blob(seen[1])
            units, weights = self.commitment.units, self.manifest.weights_sha256
            check = examine(weights, entry.verdict.verifier, trace, observation, units)
        except RecordError as error:
            return f"observed it; the observation cannot be read now: {error}"
        except BadFingerprint:
            return "published a malformed observation, which does not count"
        return self._found(check, trace, Observation.decode(observation))

    def _found(self, check: Check, trace: bytes, seen: Observation) -> str:
        judged, limits = judge(check.evidence, check.thresholds), check.thresholds
        says = (
            f"of class {seen.numeric_class[:8]}.. found it {judged.finding}; the node's is {trace[:32].hex()[:8]}.., "
        )
        if not check.evidence.well_formed:
            says += "and its trace or units do not match the answer's length"
        elif limits is None:
            says += "an uncalibrated pair of classes: it counts neither for nor against"
        else:
            says += (
                f"over {judged.tokens} tokens activations are {judged.distance_ppm} ppm apart (of honest work at most "
                f"{limits.distance.mean_ppm}), choices {judged.margin_ppm} ppm (at most {limits.margin.mean_ppm}), "
                f"outliers {judged.outlier_ppm} ppm (at most {limits.outlier.mean_ppm})"
            )
        again = f"; `assay verify --job {self.commitment.order_id}` on another host tells whose answer is wrong"
        return says + (again if judged.finding is Finding.SUSPECT else "")
