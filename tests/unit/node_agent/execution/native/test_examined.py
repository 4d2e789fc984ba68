"""A job from the node's run to the verifier's verdict: committed, opened, observed, judged."""

import pytest

from contracts.protocol.errors import BadFingerprint
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.native import Check, Finding, examine, judge
from contracts.protocol.native.fingerprint import NativeOpening
from contracts.protocol.native.observation import Observation, observed_opening
from contracts.protocol.packed import packed_root
from contracts.protocol.records import Commitment
from contracts.protocol.trace import is_trace_of
from contracts.protocol.typed_data import trace_commit
from node_agent.execution.engine import Execution
from node_agent.execution.native.engine import NativeGeneration
from tests.unit.node_agent.execution.native.conftest import INPUT, PARAMS

ORDER, NODE, WEIGHTS = keccak(b"order"), "0x" + "11" * 20, "ab" * 32


def committed(execution: Execution, **changes: object) -> Commitment:
    """What the node signs of a run."""
    fields = {
        "order_id": to_hex(ORDER),
        "node": NODE,
        "output_root": to_hex(packed_root(execution.output)),
        "trace_commit": to_hex(trace_commit(execution.trace_hash, ORDER, NODE)),
        "units": execution.units,
    }
    return Commitment.model_validate(fields | changes)


def examined(engine: NativeGeneration, opened: Execution, commitment: Commitment) -> Check:
    """What this host, as a verifier, makes of it."""
    seen = engine.observe(INPUT, PARAMS, opened.output)
    assert is_trace_of(opened.trace, commitment)
    return examine(WEIGHTS, "v1", opened.trace, seen, commitment.units)


def test_an_honest_job_shows_nothing(engine: NativeGeneration) -> None:
    """Near fingerprints, no margins, well formed; inconclusive, since nobody calibrated this model."""
    opened = engine.execute(INPUT, PARAMS)
    found = examined(engine, opened, committed(opened))
    assert found.evidence.well_formed
    assert max(found.evidence.distances) <= 2
    assert found.thresholds is None
    assert judge(found.evidence, found.thresholds).finding is Finding.INCONCLUSIVE


def test_a_node_cannot_open_what_it_did_not_commit_to(engine: NativeGeneration) -> None:
    """Once it has seen what others found it is bound: no other fingerprint or class is its trace. Covers: A13"""
    opened = engine.execute(INPUT, PARAMS)
    own, commitment = NativeOpening.decode(opened.trace), committed(opened)
    assert is_trace_of(own.encode(), commitment)
    for other in (
        NativeOpening(own.numeric_class, own.rows_digest, own.fingerprint[::-1]),
        NativeOpening("00" * 32, own.rows_digest, own.fingerprint),
    ):
        assert not is_trace_of(other.encode(), commitment)


def test_another_nodes_commitment_is_of_no_use(engine: NativeGeneration) -> None:
    """The same trace under another name is another commitment. Covers: A01"""
    opened = engine.execute(INPUT, PARAMS)
    assert not is_trace_of(opened.trace, committed(opened, node="0x" + "22" * 20))


def test_a_trace_that_is_no_opening_is_as_far_off_as_can_be(engine: NativeGeneration) -> None:
    """A node that commits to nonsense is suspect, whatever its class; a verifier that publishes it is not heard.

    Covers: A58
    """
    opened = engine.execute(INPUT, PARAMS)
    seen = engine.observe(INPUT, PARAMS, opened.output)
    found = examine(WEIGHTS, "v1", b"nonsense", seen, opened.units)
    assert judge(found.evidence, found.thresholds).finding is Finding.SUSPECT
    for nonsense in (b"", b"nonsense", seen[:-1], seen + b"x"):
        with pytest.raises(BadFingerprint):
            examine(WEIGHTS, "v1", opened.trace, nonsense, opened.units)


def test_an_observation_is_bound_by_its_verdict(engine: NativeGeneration) -> None:
    """What a verifier saw comes back as it was published, and has one digest."""
    opened = engine.execute(INPUT, PARAMS)
    seen = engine.observe(INPUT, PARAMS, opened.output)
    assert Observation.decode(seen).encode() == seen
    changed = Observation.decode(seen[:-1] + bytes([seen[-1] ^ 1])).encode()
    commitment = committed(opened)
    assert observed_opening(seen, commitment) != observed_opening(changed, commitment)


def test_an_inflated_meter_is_no_matter_of_floats(engine: NativeGeneration) -> None:
    """Units are counted: more of them than tokens make a job suspect, calibrated or not.

    Covers: A55
    """
    opened = engine.execute(INPUT, PARAMS)
    inflated = committed(opened, units=200 * opened.units)
    check = examined(engine, opened, inflated)
    assert judge(check.evidence, check.thresholds).finding is Finding.SUSPECT
