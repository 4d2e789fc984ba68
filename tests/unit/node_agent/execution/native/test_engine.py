"""The engine behind its port, on the tiny model: what is signed, what is opened, what another host sees."""

import pytest

from contracts.protocol.native.fingerprint import OPENING_HEAD, PROJECTIONS, NativeOpening
from contracts.protocol.native.observation import Observation
from contracts.protocol.packed import pack
from node_agent.execution.errors import EngineMismatch, InvalidParams
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.native.engine import NativeGeneration
from tests.unit.node_agent.execution.native.conftest import INPUT, PARAMS, RANGES, MakeNative
from tests.world.prompts import answered, asked


def test_what_is_signed_binds_what_is_opened(engine: NativeGeneration) -> None:
    """Trace hash over class, logits and fingerprint; two bytes a token; the same again on the same host."""
    signed = engine.execute(INPUT, PARAMS)
    assert signed == engine.execute(INPUT, PARAMS) == engine.recheck(INPUT, PARAMS, b"anything")
    opening = NativeOpening.decode(signed.trace)
    assert opening.trace_hash == signed.trace_hash
    assert opening.numeric_class == engine.numeric_class
    assert len(signed.trace) == OPENING_HEAD + PROJECTIONS * signed.units
    assert signed.units == sum(map(len, answered(signed.output)))


def test_another_host_sees_an_honest_answer_as_it_is(engine: NativeGeneration) -> None:
    """One pass over the output alone gives a fingerprint of the same length, and no margins."""
    signed = engine.execute(INPUT, PARAMS)
    seen = Observation.decode(engine.observe(INPUT, PARAMS, signed.output))
    assert seen.ended
    assert set(seen.margins_milli) == {0}
    assert len(seen.fingerprint) == len(NativeOpening.decode(signed.trace).fingerprint)


def test_seed_and_input_turn_tokens_and_fingerprint(engine: NativeGeneration) -> None:
    """Nothing of one order serves another.

    Covers: A01
    """
    fingerprints = {
        NativeOpening.decode(engine.execute(input_bytes, params).trace).fingerprint
        for params, input_bytes in (
            (PARAMS, INPUT), (PARAMS | {"seed": 8}, INPUT), (PARAMS, asked(["What is 2 + 2?", "Name one."])),
        )
    }  # fmt: skip
    assert len(fingerprints) == 3


def test_altered_outputs_have_not_ended_as_they_must(engine: NativeGeneration) -> None:
    """Cut short, stretched, another number of answers, no packed words at all: seen without any float.

    Covers: A55, A58
    """
    answers = answered(engine.execute(INPUT, PARAMS).output)
    first, second = answers
    for claimed in ([first[:-1], second], [[*first, 5, 5, 5], second], [first], [], [[], [1]], [*answers, first]):
        assert not Observation.decode(engine.observe(INPUT, PARAMS, pack(claimed))).ended
    assert not Observation.decode(engine.observe(INPUT, PARAMS, b"\xff")).ended


@pytest.mark.parametrize(
    "changes",
    [
        {"comparator": "exact"},
        {"dtype": "int8"},
        {"engine_version": "0"},
        {"params": RANGES | {"top_p_ppm": {"minimum": 1, "maximum": 2}}},
    ],
)
def test_other_workloads_are_refused(
    make_native: MakeNative, tiny_files: ModelFiles, changes: dict[str, object]
) -> None:
    """Only what this engine computes, by the comparator that it is compared by."""
    with pytest.raises(EngineMismatch):
        NativeGeneration.load(tiny_files, make_native(**changes), "cpu")


def test_parameters_are_the_manifests(engine: NativeGeneration) -> None:
    with pytest.raises(InvalidParams):
        engine.execute(INPUT, PARAMS | {"seed": -1})
