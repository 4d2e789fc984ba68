"""A native job seen from another class: opened by its node, read once here, compared in integers.

The order of things keeps both sides honest. The node's fingerprint is in its commitment, this verifier's evidence in
its own answer, before either opens; so neither can copy from the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.protocol.fingerprint import NativeOpening
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.records import Commitment
from contracts.protocol.typed_data import trace_commit
from node_agent.execution.native.engine import NativeGeneration, Observed
from verifier.comparison.native import Evidence, Judgement, Thresholds, compare, judge
from verifier.comparison.native.calibrated import find
from verifier.sampling.facts import require


@dataclass(frozen=True)
class Examined:
    """Attributes: `evidence`: of the job; `thresholds`: of the two classes, if calibrated; `judgement`: by both."""

    evidence: Evidence
    thresholds: Thresholds | None
    judgement: Judgement


def observe(engine: NativeGeneration, input_bytes: bytes, params: Mapping[str, int], output: bytes) -> Observed:
    """What this host sees, before it knows what the node has opened. Raises ExecutionError."""
    return engine.observe(input_bytes, params, output)


def examine(
    seen: Observed, opening: NativeOpening, commitment: Commitment, output: bytes, weights_sha256: str, own_class: str
) -> Examined:
    """The verdict on a job.

    Args:
        seen: what this host observed.
        opening: the node's, decoded.
        commitment: what the node signed.
        output: the node's output, as published.
        weights_sha256: the workload's model.
        own_class: this host's.

    Raises:
        WrongFact: output or opening are not what the node signed; nothing is said about the node then.
    """
    require("the output is the committed one", expected=commitment.output_hash, found=to_hex(keccak(output)))
    opened = trace_commit(opening.trace_hash, from_hex(commitment.order_id), commitment.node)
    require("the opening is the committed one", expected=commitment.trace_commit, found=to_hex(opened))
    units_hold = commitment.units == len(seen.margins_milli)
    evidence = compare(opening.fingerprint, seen.fingerprint, seen.margins_milli, ended=seen.ended and units_hold)
    thresholds = find(weights_sha256, opening.numeric_class, own_class)
    return Examined(evidence, thresholds, judge(evidence, thresholds))
