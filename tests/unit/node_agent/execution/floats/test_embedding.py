"""Embeddings: the encoder against transformers' own, the engine's bytes, and MiniLM on real sentences."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BertConfig as TheirConfig
from transformers import BertModel

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack, unpack, unpack_signed
from node_agent.execution import determinism, kinds
from node_agent.execution.errors import (
    InvalidInput,
    InvalidParams,
    NumericFailure,
    UnknownKind,
    UnsafeModelFormat,
    UnsupportedModel,
)
from node_agent.execution.floats.bert import Bert
from node_agent.execution.floats.embedding import SCALE, FloatEmbedding, to_integers
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.published import BertConfig
from node_agent.execution.trace import TRACE_TAG
from node_agent.models import ModelStore
from tests.world.prompts import MINILM, asked_of, tokenizer_of

SENTENCES = [
    "The weather is lovely today.",
    "It's so sunny outside!",
    "He drove to the stadium.",
    "Écris un haïku 🌸 about 2026 in Zürich.",
    "東京タワー is 333 metres tall; naïve façade, Привет.",
    "word " * 250,
]
CONFIG = {
    "architectures": ["BertModel"], "hidden_act": "gelu", "hidden_size": 32, "intermediate_size": 48,
    "layer_norm_eps": 1e-12, "max_position_embeddings": 24, "model_type": "bert", "num_attention_heads": 4,
    "num_hidden_layers": 3, "position_embedding_type": "absolute", "type_vocab_size": 2, "vocab_size": 50,
}  # fmt: skip


def their_model(config: dict[str, Any]) -> BertModel:
    """transformers' encoder with the same random weights at each call."""
    torch.manual_seed(7)
    return BertModel(TheirConfig(**config, attn_implementation="eager"), add_pooling_layer=False).eval()


@torch.inference_mode()
def test_encoder_agrees_with_transformers() -> None:
    """Every layer computes what an independent implementation computes, at every length up to the last position."""
    theirs = their_model(CONFIG)
    state = theirs.state_dict()
    ours = Bert.from_state(BertConfig.from_json(CONFIG), state, state.__getitem__, torch.device("cpu"))
    determinism.enforce()
    for length in (1, 2, 13, 24):
        tokens = torch.arange(length) * 7 % 50
        expected = theirs(tokens[None], output_hidden_states=True).hidden_states
        found = ours.forward(tokens)
        assert len(found) == len(expected) == 4
        assert max((a - b[0]).abs().max() for a, b in zip(found, expected, strict=True)) < 1e-5


@pytest.mark.parametrize("change", [{"hidden_act": "relu"}, {"model_type": "llama"}, {"num_attention_heads": 5}])
def test_other_architectures_are_refused(change: dict[str, object]) -> None:
    """What would change the arithmetic is refused, not computed into nonsense."""
    with pytest.raises(UnsupportedModel):
        BertConfig.from_json(CONFIG | change)


def test_missing_and_misshapen_weights_are_refused(tmp_path: Path) -> None:
    """Weights that are not this configuration's are named; a pickle is never opened. Covers: A48"""
    state = their_model(CONFIG).state_dict()
    config = BertConfig.from_json(CONFIG)
    for change in ("encoder.layer.2.output.dense.bias", "embeddings.LayerNorm.weight"):
        for broken in ({change: torch.zeros(3)}, {change: state[change].double()}):
            with pytest.raises(UnsupportedModel, match=change):
                Bert.from_state(config, state, (state | broken).__getitem__, torch.device("cpu"))
        with pytest.raises(UnsupportedModel, match=f"lack {change}"):
            Bert.from_state(config, state.keys() - {change}, state.__getitem__, torch.device("cpu"))
    torch.save(state, tmp_path / "model.safetensors")
    with pytest.raises(UnsafeModelFormat, match="pickle"):
        Bert.load(tmp_path / "model.safetensors", tmp_path / "config.json", torch.device("cpu"))


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20))
def test_integers_are_the_vector(values: list[float]) -> None:
    """Rounding is to the nearest, halves to even, so that every host writes the same integer."""
    integers = to_integers(np.array(values, dtype=np.float32))
    assert integers == [round(value * SCALE) for value in values]
    assert unpack_signed(pack([integers])) == [integers]


def test_broken_vector_is_an_error() -> None:
    """A model that breaks down gives an error instead of an answer to sign."""
    with pytest.raises(NumericFailure):
        to_integers(np.array([0.5, np.nan], dtype=np.float32))


# ---------------------------------------------------------------- MiniLM


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    """MiniLM from the store, pulled if it is not there."""
    return ModelStore().pull("minilm-l6-v2")


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """The embedding workload of this host."""
    return kinds.write_manifest("float_embedding", "minilm-l6-v2", "cpu", check_price_units=10)


@pytest.fixture(scope="module")
def minilm(files: ModelFiles, manifest: Manifest) -> FloatEmbedding:
    """The engine as nodes and verifiers load it."""
    engine = kinds.load(files, manifest, "cpu")
    assert isinstance(engine, FloatEmbedding)
    return engine


def vectors_of(output: bytes) -> list[list[int]]:
    """The numbers that answer each text."""
    return unpack_signed(output)


def vectors(engine: FloatEmbedding, texts: list[str]) -> np.ndarray[Any, Any]:
    """(texts, C) vectors of one order."""
    return np.array(vectors_of(engine.execute(asked_of(MINILM, texts), {}).output)) / SCALE


@pytest.mark.model
@torch.inference_mode()
def test_vectors_agree_with_transformers(minilm: FloatEmbedding, files: ModelFiles, tmp_path: Path) -> None:
    """Real sentences through transformers' own tokenizer, padded batch, model, pooling: the same within 1e-5."""
    from transformers import AutoModel, PreTrainedTokenizerFast

    for path in (files.weights, files.config):
        (tmp_path / path.name).symlink_to(path)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(files.tokenizer), pad_token="[PAD]")
    batch = tokenizer(SENTENCES, padding=True, truncation=True, max_length=256, return_tensors="pt")
    model = AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    hidden = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    mask = batch["attention_mask"][..., None].float()
    theirs = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
    run = minilm.execute(asked_of(MINILM, SENTENCES), {})
    ours = np.array(vectors_of(run.output)) / SCALE
    assert np.abs(theirs.numpy() - ours).max() < 1e-5
    assert run.units == int(batch["attention_mask"].sum()), "units are the tokens, start and end included"


@pytest.mark.model
def test_near_meanings_have_near_vectors(minilm: FloatEmbedding) -> None:
    """Tokenizer, template and weights together make vectors that mean something."""
    sunny, lovely, driving = vectors(minilm, [SENTENCES[1], SENTENCES[0], SENTENCES[2]])
    assert sunny @ lovely > 0.6 > 0.2 > sunny @ driving
    assert abs(np.linalg.norm(sunny) - 1) < 1e-5


@pytest.mark.model
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(SENTENCES[:5]) | st.text(min_size=1, max_size=30), min_size=1, max_size=6))
def test_batch_composition_never_changes_a_bit(minilm: FloatEmbedding, texts: list[str]) -> None:
    """A text's vector is the same alone and in any company, in any place; units are the tokens read."""
    texts = [text for text in texts if text.strip() and text.isprintable()] or ["a"]
    together = minilm.execute(asked_of(MINILM, texts), {})
    alone = [minilm.execute(asked_of(MINILM, [text]), {}) for text in texts]
    assert vectors_of(together.output) == [vectors_of(run.output)[0] for run in alone]
    assert together.units == sum(run.units for run in alone)
    assert together.units == sum(map(len, unpack(asked_of(MINILM, texts))))
    assert minilm.execute(asked_of(MINILM, texts), {}) == together


@pytest.mark.model
def test_trace_is_the_hash_of_every_hidden_state(minilm: FloatEmbedding, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trace's definition, recomputed from the outside: the tag, then every layer's states, for each text."""
    heard, forward = hashlib.sha256(), minilm.model.forward

    def recorded(tokens: torch.Tensor) -> list[torch.Tensor]:
        states = forward(tokens)
        heard.update(TRACE_TAG)
        for state in states:
            assert state.shape == (len(tokens), 384)
            heard.update(state.numpy().astype("<f4").tobytes())
        assert len(states) == 7
        return states

    monkeypatch.setattr(minilm.model, "forward", recorded)
    run = minilm.execute(asked_of(MINILM, SENTENCES[:2]), {})
    assert heard.digest() == run.trace_hash


@pytest.mark.model
def test_a_skipped_layer_shows(files: ModelFiles, manifest: Manifest) -> None:
    """Whoever leaves out a layer, or rounds a weight, gives another trace. Covers: A08"""
    honest = kinds.load(files, manifest, "cpu").execute(asked_of(MINILM, SENTENCES[:1]), {})
    lazy = FloatEmbedding.load(files, manifest, "cpu")
    del lazy.model.layers[3]
    assert lazy.execute(asked_of(MINILM, SENTENCES[:1]), {}).trace_hash != honest.trace_hash
    coarse = FloatEmbedding.load(files, manifest, "cpu")
    weight = coarse.model.layers[0].up.weight
    weight[0, 0] += 2.0**-10
    assert coarse.execute(asked_of(MINILM, SENTENCES[:1]), {}).trace_hash != honest.trace_hash


@pytest.mark.model
def test_nothing_is_cut_off(minilm: FloatEmbedding) -> None:
    """A text one token too long is refused with the exact count, and the others with it; 256 tokens are run."""
    assert minilm.execute(asked_of(MINILM, ["word " * 254]), {}).units == 256
    with pytest.raises(InvalidInput, match=r"257 tokens in text 1, .* not 1 to 256"):
        minilm.execute(asked_of(MINILM, ["fine", "word " * 255]), {})
    with pytest.raises(InvalidInput, match="17 texts, not 1 to 16"):
        minilm.execute(asked_of(MINILM, ["a"] * 17), {})
    with pytest.raises(InvalidParams, match="max_new_tokens"):
        minilm.execute(asked_of(MINILM, ["a"]), {"max_new_tokens": 4})


@pytest.mark.model
def test_the_largest_output_fits_a_contest(manifest: Manifest) -> None:
    """The manifest's limits alone keep outputs under what a contest's transaction carries. Covers: A54"""
    longest = len(pack([[-SCALE] * 384] * manifest.input.max_texts))
    assert longest <= 65_536


@pytest.mark.model
@pytest.mark.parametrize("text", ["[SEP]", "[CLS] [MASK]", "a[PAD]b"])
def test_control_tokens_in_a_text_stay_text(minilm: FloatEmbedding, text: str) -> None:
    """A text that spells a control token cannot end itself."""
    assert not {0, 101, 102, 103} & set(tokenizer_of(MINILM).encode(text))


@pytest.mark.model
def test_workloads_that_do_not_fit_are_refused(files: ModelFiles, manifest: Manifest) -> None:
    """A manifest that asks for what this kind does not do is found at load, not in the middle of a job."""
    limits = manifest.input
    wrong: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"input": limits.model_copy(update={"max_tokens": 513})}, UnsupportedModel),
        ({"kind": "generation", "engine_version": "2"}, UnsupportedModel),
        ({"kind": "translation"}, UnknownKind),
    ]
    for change, error in wrong:
        with pytest.raises(error):
            kinds.load(files, manifest.model_copy(update=change), "cpu")


def test_manifest_names_a_model_of_the_kind(make_manifest: Callable[..., Manifest]) -> None:
    """A manifest is written for a model that the kind can run."""
    with pytest.raises(UnknownKind, match="minilm-l6-v2"):
        kinds.write_manifest("float_embedding", "smollm2-135m", "cpu", check_price_units=1)
    with pytest.raises(UnknownKind, match="embedding"):
        kinds.find("../embedding")
