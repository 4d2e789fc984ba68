"""The exact engine behind the port: executing and checking agree, whatever a node claims."""

import pytest

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack
from node_agent.execution.engine import Engine
from node_agent.execution.errors import (
    EngineMismatch,
    InvalidInput,
    InvalidParams,
    ModelDigestMismatch,
    UnsupportedModel,
)
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.execution.exact.llama.model_file import read_model
from node_agent.execution.exact.ways import sound
from node_agent.execution.model_files import ModelFiles
from tests.world.prompts import answered, asked

PARAMS = {"max_new_tokens": 12, "temperature_milli": 900, "top_p_ppm": 950_000, "seed": 7}
WORDS = ["Hello", "What is 2 + 2?", "x"]
TEXTS = asked(WORDS)


def test_it_is_an_engine(engine: ExactGeneration) -> None:
    """Wiring it is a matter of names."""
    port: Engine = engine
    assert (port.name, port.version, port.check) == ("exact", ExactGeneration.version, "prefill")


@pytest.mark.parametrize("temperature", [0, 900])
def test_checking_is_executing(engine: ExactGeneration, temperature: int) -> None:
    """The verifier's pass gives trace, output and units of the node, byte for byte."""
    params = PARAMS | {"temperature_milli": temperature}
    done = engine.execute(TEXTS, params)
    assert engine.recheck(TEXTS, params, done.output) == done
    assert done.units == sum(map(len, answered(done.output)))


def test_a_wrong_claim_is_answered_with_what_is_right(engine: ExactGeneration) -> None:
    """Whatever bytes a node hands in, the verifier derives what it should have been."""
    done = engine.execute(TEXTS, PARAMS)
    answers = answered(done.output)
    answers[1][3] ^= 1
    claims = [pack(answers), b"", b"[]", b"[" * 5000, pack([]), pack([[], [], []]), pack(answers[:2])]
    answers[1][3] = 2**32 - 1
    for claim in [*claims, pack(answers)]:
        assert engine.recheck(TEXTS, PARAMS, claim) == done


def test_texts_are_answered_as_if_alone(engine: ExactGeneration) -> None:
    """An order's texts share a batch and nothing else (greedy: draws depend on the whole input)."""
    params = PARAMS | {"temperature_milli": 0}
    together = answered(engine.execute(TEXTS, params).output)
    assert together == [answered(engine.execute(asked([text]), params).output)[0] for text in WORDS]


def test_seed_and_input_decide_the_draws(engine: ExactGeneration) -> None:
    """Same order, same answer; another seed, another one."""
    assert engine.execute(TEXTS, PARAMS) == engine.execute(TEXTS, PARAMS)
    assert engine.execute(TEXTS, PARAMS).output != engine.execute(TEXTS, PARAMS | {"seed": 8}).output


def test_limits_are_kept(engine: ExactGeneration) -> None:
    """The manifest's limits hold as for every engine."""
    with pytest.raises(InvalidParams):
        engine.execute(TEXTS, PARAMS | {"top_k": 3})
    with pytest.raises(InvalidParams):
        engine.execute(TEXTS, PARAMS | {"temperature_milli": 2001})
    with pytest.raises(InvalidInput):
        engine.execute(b"[1]", PARAMS)


def test_misfits_are_refused(engine: ExactGeneration, files: ModelFiles) -> None:
    """Another engine's manifest, another model's digest, a context that the tables do not reach."""
    for change, error in (
        ({"check": "regenerate"}, EngineMismatch),
        ({"weights_sha256": "0" * 64}, ModelDigestMismatch),
        ({"input": engine.manifest.input.model_copy(update={"max_tokens": 500})}, UnsupportedModel),
    ):
        with pytest.raises(error):
            ExactGeneration.load(files, engine.manifest.model_copy(update=change), "cpu")


def test_a_changed_weight_changes_the_trace(engine: ExactGeneration, files: ModelFiles, manifest: Manifest) -> None:
    """One weight off by one shows, even where the answer reads the same. Covers: A08."""
    honest = engine.execute(TEXTS, PARAMS)
    parameters = read_model(files.weights)
    parameters.layers[1].down.multiplier[0] += 50
    other = ExactGeneration(sound("cpu").ways[0].llama(parameters), manifest)
    assert other.execute(TEXTS, PARAMS).trace_hash != honest.trace_hash
