"""One native job, checked by one verifier: what both have published, turned into evidence. Pure."""

from dataclasses import dataclass

from contracts.protocol.errors import BadFingerprint
from contracts.protocol.native.calibrated import find
from contracts.protocol.native.evidence import Evidence, compare
from contracts.protocol.native.fingerprint import NativeOpening
from contracts.protocol.native.observation import Observation
from contracts.protocol.native.thresholds import Thresholds


@dataclass(frozen=True)
class Check:
    """A job of a node, seen by a verifier.

    Attributes:
        verifier: whose observation it is.
        evidence: of the job.
        thresholds: of their two classes; None where that pair was never calibrated, so that only what is counted says
            something.
    """

    verifier: str
    evidence: Evidence
    thresholds: Thresholds | None


def examine(weights_sha256: str, verifier: str, trace: bytes, observation: bytes, units: int) -> Check:
    """What an observation shows of a trace.

    Args:
        weights_sha256: the workload's model.
        verifier: who observed.
        trace: what the node has shown; it is what the commitment binds (`contracts.protocol.trace.is_trace_of`).
        observation: what the verdict binds.
        units: that the node committed to. An inflated meter is no matter of floats: it is counted.

    A trace that is no opening is as far off as can be.

    Raises:
        BadFingerprint: the observation is none.
    """
    seen = Observation.decode(observation)
    try:
        opening = NativeOpening.decode(trace)
    except BadFingerprint:
        return Check(verifier, compare(b"?", seen.fingerprint, seen.margins_milli, ended=False), None)
    ended = seen.ended and units == len(seen.margins_milli)
    evidence = compare(opening.fingerprint, seen.fingerprint, seen.margins_milli, ended=ended)
    return Check(verifier, evidence, find(weights_sha256, opening.numeric_class, seen.numeric_class))
