"""A job from the node's run to the verifier's verdict: committed, opened, observed, judged."""

import pytest

from contracts.protocol.fingerprint import NativeOpening
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import Commitment
from contracts.protocol.typed_data import trace_commit
from node_agent.execution.native.engine import NativeGeneration, Opened
from tests.unit.node_agent.execution.native.conftest import INPUT, PARAMS
from verifier.comparison.native import Finding
from verifier.errors import WrongFact
from verifier.reexecution.native import Examined, examine, observe

ORDER, NODE, WEIGHTS = keccak(b"order"), "0x" + "11" * 20, "ab" * 32


def committed(opened: Opened, **changes: object) -> Commitment:
    """What the node signs of a run."""
    execution = opened.execution
    fields = {
        "order_id": to_hex(ORDER),
        "node": NODE,
        "output_hash": to_hex(keccak(execution.output)),
        "trace_commit": to_hex(trace_commit(execution.trace_hash, ORDER, NODE)),
        "units": execution.units,
    }
    return Commitment.model_validate(fields | changes)


def examined(engine: NativeGeneration, opened: Opened, commitment: Commitment, opening: NativeOpening) -> Examined:
    """This host's verdict on it."""
    output = opened.execution.output
    seen = observe(engine, INPUT, PARAMS, output)
    return examine(seen, opening, commitment, output, WEIGHTS, engine.numeric_class)


def test_an_honest_job_shows_nothing(engine: NativeGeneration) -> None:
    """Near fingerprints, no margins, well formed; inconclusive, since nobody calibrated this model."""
    opened = engine.run(INPUT, PARAMS)
    found = examined(engine, opened, committed(opened), NativeOpening.decode(opened.opening.encode()))
    assert found.evidence.well_formed
    assert max(found.evidence.distances) <= 2
    assert found.thresholds is None
    assert found.judgement.finding is Finding.INCONCLUSIVE


def test_a_node_cannot_open_what_it_did_not_commit_to(engine: NativeGeneration) -> None:
    """Once it has seen what others found it is bound: another fingerprint, class or output is refused.

    Covers: A13
    """
    opened = engine.run(INPUT, PARAMS)
    own = opened.opening
    for other in (
        NativeOpening(own.numeric_class, own.rows_digest, own.fingerprint[::-1]),
        NativeOpening("00" * 32, own.rows_digest, own.fingerprint),
    ):
        with pytest.raises(WrongFact, match="opening"):
            examined(engine, opened, committed(opened), other)
    with pytest.raises(WrongFact, match="output"):
        examined(engine, opened, committed(opened, output_hash=to_hex(bytes(32))), own)


def test_another_nodes_commitment_is_of_no_use(engine: NativeGeneration) -> None:
    """The same trace under another name is another commitment.

    Covers: A01
    """
    opened = engine.run(INPUT, PARAMS)
    with pytest.raises(WrongFact, match="opening"):
        examined(engine, opened, committed(opened, node="0x" + "22" * 20), opened.opening)


def test_an_inflated_meter_is_no_matter_of_floats(engine: NativeGeneration) -> None:
    """Units are counted: more of them than tokens make a job suspect, calibrated or not.

    Covers: A55
    """
    opened = engine.run(INPUT, PARAMS)
    inflated = committed(opened, units=200 * opened.execution.units)
    assert examined(engine, opened, inflated, opened.opening).judgement.finding is Finding.SUSPECT
