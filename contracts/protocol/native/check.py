"""Turns what node and verifier published of one native job into evidence. Pure."""

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
        thresholds: of the two classes; None if that pair was never calibrated. Then only units and lengths count.
    """

    verifier: str
    evidence: Evidence
    thresholds: Thresholds | None


def examine(weights_sha256: str, verifier: str, trace: bytes, observation: bytes, units: int) -> Check:
    """What an observation shows of a trace.

    Args:
        weights_sha256: the workload's model.
        verifier: who observed.
        trace: shown by the node and bound by its commitment (`contracts.protocol.trace.is_trace_of`).
        observation: bound by the verdict.
        units: the node committed to them. Units are integers, so any difference is an error.

    A trace that does not decode has the largest distance. Raises BadFingerprint if the observation does not decode.
    """
    seen = Observation.decode(observation)
    try:
        opening = NativeOpening.decode(trace)
    except BadFingerprint:
        return Check(verifier, compare(b"?", seen.fingerprint, seen.margins_milli, ended=False), None)
    ended = seen.ended and units == len(seen.margins_milli)
    evidence = compare(opening.fingerprint, seen.fingerprint, seen.margins_milli, ended=ended)
    return Check(verifier, evidence, find(weights_sha256, opening.numeric_class, seen.numeric_class))
