"""The exact encoder behind the port: batches, traces, limits and misfits, on a tiny model."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import unpack, unpack_signed
from contracts.protocol.trace_tree import list_root, row_leaves
from node_agent.execution.engine import Batching, Engine, Execution
from node_agent.execution.errors import (
    AnswerTooLong,
    EngineMismatch,
    ExecutionError,
    InvalidInput,
    InvalidParams,
    ModelDigestMismatch,
    UnsupportedModel,
)
from node_agent.execution.exact import engine as exact_engine
from node_agent.execution.exact.build import build_from
from node_agent.execution.exact.encoder import engine as embedding
from node_agent.execution.exact.encoder.engine import EmbeddingBatch, ExactEmbedding
from node_agent.execution.exact.encoder.model_file import read_encoder
from node_agent.execution.exact.model_root import file_root
from node_agent.execution.exact.ways import sound
from node_agent.execution.model_files import ModelFiles, Wording, sha256_file
from node_agent.execution.sandbox import Executor
from tests.unit.node_agent.execution.exact.conftest import TINY_ENCODER, random_encoder_state
from tests.world import prompts
from tests.world.node_fakes import BYTE_TOKENIZER

TEXTS = ["Hello", "What is 2 + 2?", "x", "y" * 40]
WORDING = Wording("wordpiece", before=(1,), after=(2,))


def asked(texts: Sequence[str]) -> bytes:
    """Packed prompts of one token a byte, with a start and an end."""
    return prompts.asked(texts, prompts.BYTES, WORDING)


def vectors(output: bytes) -> list[list[int]]:
    """The numbers that answer each text."""
    return unpack_signed(output)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A tiny encoder's files, its tokenizer one token a byte."""
    folder = tmp_path_factory.mktemp("embedding")
    path, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    fields = TINY_ENCODER | {"vocab_size": 300}
    build_from(fields, random_encoder_state(fields, 3).__getitem__, "0" * 64, path)
    tokenizer.write_bytes(BYTE_TOKENIZER)
    return ModelFiles(path, tokenizer, folder / "config.json", sha256_file(path), sha256_file(tokenizer))


@pytest.fixture(scope="module")
def manifest(files: ModelFiles, make_manifest: Callable[..., Manifest]) -> Manifest:
    """A workload of that file."""
    return make_manifest(
        files,
        kind="embedding",
        engine="exact",
        model_root=file_root(files.weights),
        engine_version=ExactEmbedding.version,
        check="prefill",
        dtype="int8",
        numeric_class=None,
        unit="input token",
        meter="input_tokens",
        params={},
        input={"max_texts": 4, "max_bytes": 200, "max_tokens": 60},
        **WORDING.fields(),
    )


@pytest.fixture(scope="module")
def engine(files: ModelFiles, manifest: Manifest) -> ExactEmbedding:
    """Loaded as a node loads it, self-test included."""
    return ExactEmbedding.load(files, manifest, "cpu")


def test_checking_is_executing(engine: ExactEmbedding) -> None:
    """Whatever a node claims, the verifier's pass gives trace, output and units of the work."""
    port: Engine = engine
    assert (port.name, port.version, port.check) == ("exact", ExactEmbedding.version, "prefill")
    done = port.execute(asked(TEXTS), {})
    assert all(port.recheck(asked(TEXTS), {}, claim) == done for claim in (done.output, b"", b"[[1]]"))
    assert done.units == sum(len(text) + 2 for text in TEXTS)


@pytest.mark.parametrize("rows", [1, 20, 10_000])
def test_texts_are_answered_as_if_alone(engine: ExactEmbedding, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """However texts are put together, each has the vector that it has alone."""
    monkeypatch.setattr(embedding, "BATCH_ROWS", rows)
    together = vectors(engine.execute(asked(TEXTS), {}).output)
    assert together == [engine.vector(prompt) for prompt in unpack(asked(TEXTS))]
    assert together == [vectors(engine.execute(asked([text]), {}).output)[0] for text in TEXTS]


INPUTS = st.lists(st.text("abc?", min_size=1, max_size=50), min_size=1, max_size=4).map(asked)


def drained(batch: EmbeddingBatch) -> dict[int, Execution | ExecutionError]:
    """Everything that comes out of a batch."""
    found: dict[int, Execution | ExecutionError] = {}
    while batch.busy:
        found |= batch.step()
    return found


@given(orders=st.lists(st.tuples(INPUTS, st.integers(0, 3)), min_size=1, max_size=6), rows=st.integers(1, 300))
@settings(max_examples=40)
def test_company_changes_no_byte(engine: ExactEmbedding, orders: list[tuple[bytes, int]], rows: int) -> None:
    """Protects honest nodes that fill their device: orders of any texts, each joining some steps after the one before,
    have the output, trace and units that each has alone, however many rows share a pass. Covers: A09"""
    assert isinstance(engine, Batching)
    alone = {key: engine.execute(order, {}) for key, (order, _) in enumerate(orders)}
    batch, found = engine.new_batch(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedding, "BATCH_ROWS", rows)
        for key, (order, steps) in enumerate(orders):
            batch.join(key, order, {})
            for _ in range(steps):
                found |= batch.step() if batch.busy else []
        assert found | drained(batch) == alone


def test_orders_share_a_pass(engine: ExactEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects what batching is for: twelve short orders take the passes that their tokens fill, and no pass has more
    than fit."""
    passes: list[int] = []
    states = engine.model.states

    def counted(texts: Sequence[Sequence[int]]) -> list[np.ndarray]:
        passes.append(sum(len(text) for text in texts))
        return states(texts)

    monkeypatch.setattr(engine.model, "states", counted)
    monkeypatch.setattr(embedding, "BATCH_ROWS", 100)
    batch = engine.new_batch()
    for key in range(12):
        batch.join(key, asked(["x" * 18]), {})
    assert list(drained(batch)) == list(range(12))
    assert passes == [100, 100, 40]


def test_what_fails_fails_alone(engine: ExactEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the others from poison: what cannot run does not join, and an answer that nobody could show is its own
    order's error. Covers: A58"""
    good, long = asked(["Hello"]), asked(TEXTS)
    alone = engine.execute(good, {})

    def no_long_ones(output: bytes) -> None:
        if len(output) > len(alone.output):
            raise AnswerTooLong("Too long.", way_out="Ask for less.")

    monkeypatch.setattr(exact_engine, "require_showable", no_long_ones)
    batch = engine.new_batch()
    batch.join(0, good, {})
    with pytest.raises(InvalidInput):
        batch.join(1, b"[1]", {})
    with pytest.raises(InvalidParams):
        batch.join(2, good, {"max_new_tokens": 3})
    batch.join(3, long, {})
    batch.join(4, good, {})
    found = drained(batch)
    assert isinstance(found.pop(3), AnswerTooLong)
    assert found == {0: alone, 4: alone}


@pytest.mark.process
def test_the_executor_answers_many_at_once(engine: ExactEmbedding, files: ModelFiles) -> None:
    """Protects the node: it may hold several orders, and calls from several threads each have their own answer, the
    very bytes of the engine alone. Covers: A09"""
    executor = Executor(files.weights.parent)
    there = executor.load(files, engine.manifest, "cpu")
    assert there.concurrent
    orders = [asked([f"Question {index}"] * (1 + index % 4)) for index in range(12)]
    with ThreadPoolExecutor(len(orders)) as pool:
        found = list(pool.map(lambda order: there.execute(order, {}), orders))
    executor.close()
    assert found == [engine.execute(order, {}) for order in orders]


def test_the_trace_is_every_state(engine: ExactEmbedding) -> None:
    """The trace's definition, recomputed from the outside: rows after the embedding and each layer."""
    texts = []
    for tokens in unpack(asked(TEXTS)):
        rows = np.concatenate(engine.model.states([tokens])).astype("<i4")
        assert rows.shape == (3 * len(tokens), 24)
        texts.append(list_root(list_root(row_leaves(row.tobytes())) for row in rows))
    assert engine.execute(asked(TEXTS), {}).trace_hash == list_root(texts)


def test_skipped_work_shows(engine: ExactEmbedding, files: ModelFiles, manifest: Manifest) -> None:
    """A layer left out, or one scale off by a little, gives another trace. Covers: A08"""
    honest = engine.execute(asked(TEXTS), {})
    lazy, coarse = (ExactEmbedding.load(files, manifest, "cpu") for _ in range(2))
    del lazy.model.layers[1]
    parameters = read_encoder(files.weights)
    parameters.layers[0].up.multiplier[0] += 500
    coarse.model = sound("cpu").ways[0].encoder(parameters)
    for cheat in (lazy, coarse):
        assert cheat.execute(asked(TEXTS), {}).trace_hash != honest.trace_hash


def test_limits_are_kept(engine: ExactEmbedding) -> None:
    """The manifest's limits hold as for every engine; nothing is cut off."""
    with pytest.raises(InvalidParams):
        engine.execute(asked(TEXTS), {"max_new_tokens": 3})
    with pytest.raises(InvalidInput, match="61 tokens in text 0"):
        engine.execute(asked(["a" * 59]), {})
    assert engine.execute(asked(["a" * 58]), {}).units == 60
    with pytest.raises(InvalidInput):
        engine.execute(b"[1]", {})


def test_misfits_are_refused(engine: ExactEmbedding, files: ModelFiles) -> None:
    """Another engine's manifest, another model's digest or root, more positions than there are. Covers: A71"""
    limits = engine.manifest.input
    for change, error in (
        ({"check": "regenerate"}, EngineMismatch),
        ({"meter": "new_tokens"}, EngineMismatch),
        ({"weights_sha256": "0" * 64}, ModelDigestMismatch),
        ({"model_root": "0x" + "00" * 32}, ModelDigestMismatch),
        ({"input": limits.model_copy(update={"max_tokens": 65})}, UnsupportedModel),
    ):
        with pytest.raises(error):
            ExactEmbedding.load(files, engine.manifest.model_copy(update=change), "cpu")
