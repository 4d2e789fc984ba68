"""The exact encoder behind the port: batches, traces, limits and misfits, on a tiny model."""

import hashlib
import json
from collections.abc import Callable

import numpy as np
import pytest
import torch

from contracts.protocol.manifest import Manifest
from contracts.protocol.texts import encode_texts
from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.engine import Engine
from node_agent.execution.errors import (
    EngineMismatch,
    InvalidInput,
    InvalidParams,
    ModelDigestMismatch,
    UnsupportedModel,
)
from node_agent.execution.exact import build_encoder, embedding
from node_agent.execution.exact.embedding import ExactEmbedding
from node_agent.execution.exact.trace import CHUNK_TAG, TRACE_TAG
from node_agent.execution.model_files import ModelFiles, sha256_file
from node_agent.testing import BYTE_TOKENIZER

from .conftest import TINY_ENCODER, random_encoder_state

TEXTS = ["Hello", "What is 2 + 2?", "x", "y" * 40]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A tiny encoder's files, its tokenizer one token a byte."""
    folder = tmp_path_factory.mktemp("embedding")
    path, tokenizer = folder / "model.safetensors", folder / "tokenizer.json"
    fields = TINY_ENCODER | {"vocab_size": 300}
    build_encoder.build_from(fields, random_encoder_state(fields, 3).__getitem__, "0" * 64, path)
    tokenizer.write_bytes(BYTE_TOKENIZER.replace(b"<|im_start|>", b"[CLS]").replace(b"<|im_end|>", b"[SEP]"))
    return ModelFiles(path, tokenizer, folder / "config.json", sha256_file(path), sha256_file(tokenizer))


@pytest.fixture(scope="module")
def manifest(files: ModelFiles, make_manifest: Callable[..., Manifest]) -> Manifest:
    """A workload of that file."""
    return make_manifest(
        files,
        kind="embedding",
        engine="exact",
        engine_version="1",
        check="prefill",
        dtype="int8",
        numeric_class=None,
        unit="input token",
        meter="input_tokens",
        params={},
        input={"max_texts": 4, "max_bytes": 200, "max_tokens": 60, "overhead_tokens": 2},
    )


@pytest.fixture(scope="module")
def engine(files: ModelFiles, manifest: Manifest) -> ExactEmbedding:
    """Loaded as a node loads it, self-test included."""
    return ExactEmbedding.load(files, manifest, "cpu")


def test_checking_is_executing(engine: ExactEmbedding) -> None:
    """Whatever a node claims, the verifier's pass gives trace, output and units of the work."""
    port: Engine = engine
    assert (port.name, port.version, port.check) == ("exact", "1", "prefill")
    done = port.execute(encode_texts(TEXTS), {})
    assert all(port.recheck(encode_texts(TEXTS), {}, claim) == done for claim in (done.output, b"", b"[[1]]"))
    assert done.units == sum(len(text) + 2 for text in TEXTS)


@pytest.mark.parametrize("rows", [1, 20, 10_000])
def test_texts_are_answered_as_if_alone(engine: ExactEmbedding, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """However texts are put together, each has the vector that it has alone."""
    monkeypatch.setattr(embedding, "BATCH_ROWS", rows)
    together = json.loads(engine.execute(encode_texts(TEXTS), {}).output)
    assert together == [engine.vector(text) for text in TEXTS]
    assert together == [json.loads(engine.execute(encode_texts([text]), {}).output)[0] for text in TEXTS]


def test_the_trace_is_every_state(engine: ExactEmbedding) -> None:
    """The trace's definition, recomputed from the outside: rows after the embedding and each layer, in chunks of 16."""
    whole = hashlib.sha256(TRACE_TAG)
    for index, text in enumerate(TEXTS):
        tokens = [engine.tokenizer.id_of("[CLS]"), *engine.tokenizer.encode(text), engine.tokenizer.id_of("[SEP]")]
        rows = torch.cat(engine.model.forward([tokens])).numpy().astype("<i4")
        assert rows.shape == (3 * len(tokens), 24)
        for chunk in range(-(-len(rows) // 16)):
            tag = CHUNK_TAG + index.to_bytes(4, "little") + chunk.to_bytes(4, "little")
            whole.update(hashlib.sha256(tag + rows[16 * chunk : 16 * chunk + 16].tobytes()).digest())
    assert engine.execute(encode_texts(TEXTS), {}).trace_hash == whole.digest()


def test_skipped_work_shows(engine: ExactEmbedding, files: ModelFiles, manifest: Manifest) -> None:
    """A layer left out, or one scale off by a little, gives another trace. Covers: A08"""
    honest = engine.execute(encode_texts(TEXTS), {})
    lazy, coarse = (ExactEmbedding.load(files, manifest, "cpu") for _ in range(2))
    del lazy.model.layers[1]
    multiplier = coarse.model.layers[0].up.multiplier
    multiplier += torch.from_numpy(np.eye(1, len(multiplier), dtype=np.int64)[0] * 500)
    for cheat in (lazy, coarse):
        assert cheat.execute(encode_texts(TEXTS), {}).trace_hash != honest.trace_hash


def test_limits_are_kept(engine: ExactEmbedding) -> None:
    """The manifest's limits hold as for every engine; nothing is cut off."""
    with pytest.raises(InvalidParams):
        engine.execute(encode_texts(TEXTS), {"max_new_tokens": 3})
    with pytest.raises(InvalidInput, match="61 tokens in text 0"):
        engine.execute(encode_texts(["a" * 59]), {})
    assert engine.execute(encode_texts(["a" * 58]), {}).units == 60
    with pytest.raises(InvalidInput):
        engine.execute(b"[1]", {})


def test_misfits_are_refused(engine: ExactEmbedding, files: ModelFiles) -> None:
    """Another engine's manifest, another model's digest, more positions than there are, a tokenizer without [CLS]."""
    limits = engine.manifest.input
    for change, error in (
        ({"check": "regenerate"}, EngineMismatch),
        ({"meter": "new_tokens"}, EngineMismatch),
        ({"input": limits.model_copy(update={"overhead_tokens": 3})}, EngineMismatch),
        ({"weights_sha256": "0" * 64}, ModelDigestMismatch),
        ({"input": limits.model_copy(update={"max_tokens": 65})}, UnsupportedModel),
    ):
        with pytest.raises(error):
            ExactEmbedding.load(files, engine.manifest.model_copy(update=change), "cpu")
    plain = TextTokenizer(BYTE_TOKENIZER, hashlib.sha256(BYTE_TOKENIZER).hexdigest())
    with pytest.raises(UnsupportedModel, match=r"\[CLS\]"):
        ExactEmbedding(engine.model, plain, engine.manifest)
