"""Models that somebody brings: how the store describes them, and which workloads it makes no manifest of."""

import json
from pathlib import Path

import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from contracts.protocol.manifest import MAX_NEW_TOKENS, Manifest
from node_agent.describing import describe
from node_agent.execution import kinds
from node_agent.execution.chat import ChatSettings
from node_agent.execution.errors import ModelUnavailable, UnknownKind, UnsafeModelFormat, UnsupportedModel
from node_agent.execution.model_files import Stored, Wording
from node_agent.models import ModelStore
from tests.unit.node_agent.execution.exact.conftest import TINY_ENCODER, random_encoder_state
from tests.unit.node_agent.execution.test_models import Parts, write_gguf
from tests.world import chats
from tests.world.prompts import BYTES
from tests.world.wording import chat_ml

CHAT, VECTORS = kinds.find("generation"), kinds.find("embedding")
BRIEF = ChatSettings(system="Be brief.")
SMALL = {"max_texts": 1, "max_tokens": 300, "max_new_tokens": 8}


@pytest.mark.process
def test_a_gguf_file_becomes_a_workload(tmp_path: Path, tiny_gguf_parts: Parts) -> None:
    """Protects whoever brings a GGUF file: its manifest names the model, the tokenizer and the chat that are in it; a
    model of the kind's own is no other way to them; and what the kind cannot use is refused. Covers: A70"""
    gguf, store = tmp_path / "m.gguf", ModelStore(tmp_path / "store", sources={})
    write_gguf(gguf, tiny_gguf_parts, more=lambda writer: writer.add_chat_template(chats.SMOLLM2))
    files = store.build_exact(str(gguf), "mine")
    found = describe(store, "mine", CHAT)
    expected = chat_ml(BYTES)
    assert (found.weights_sha256, found.tokenizer_sha256) == (files.weights_sha256, files.tokenizer_sha256)
    assert (found.wording, found.positions, found.vocab_size) == (expected, 512, 512)
    manifest = written(found)
    assert (manifest.model_root, manifest.template.before) == (found.model_root, expected.before)
    kinds.load(files, manifest, "cpu")

    assert describe(store, "mine", CHAT, BRIEF).wording == chat_ml(BYTES, "Be brief.")
    with pytest.raises(UnsupportedModel, match="embedding is no chat"):
        describe(store, "mine", VECTORS, BRIEF)
    with pytest.raises(UnsupportedModel, match="'assay/exact/1', this model is read from"):
        describe(store, "mine", VECTORS)
    with pytest.raises(UnsupportedModel, match="float_generation is not done by the engine exact"):
        describe(store, "mine", kinds.find("float_generation"))
    with pytest.raises(ModelUnavailable, match="no model 'other'"):
        describe(store, "other", CHAT)

    for name in ("My Model", "a/b", "", "x" * 65):
        with pytest.raises(ModelUnavailable, match="no name that a manifest can have"):
            store.build_exact(str(gguf), name)
    write_gguf(gguf, tiny_gguf_parts)
    with pytest.raises(ModelUnavailable, match=r"the same weights with another chat\.json"):
        store.build_exact(str(gguf), "base")
    (files.weights.parent / "chat.json").unlink()
    store.build_exact(str(gguf), "base")
    with pytest.raises(UnsupportedModel, match="base was made of have no chat template"):
        describe(store, "base", CHAT)


@pytest.mark.process
def test_a_bert_becomes_a_workload(tmp_path: Path) -> None:
    """Protects whoever brings an encoder: its tokenizer's own tokens stand around a text."""
    folder, store = tmp_path / "theirs", ModelStore(tmp_path / "store", sources={})
    folder.mkdir()
    save_file(random_encoder_state(TINY_ENCODER, 1), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(TINY_ENCODER))
    pieces = ["[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789.,()"]
    pieces += [f"##{letter}" for letter in pieces[3:]]
    made = Tokenizer(models.WordPiece({piece: place for place, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    made.enable_truncation(8)
    made.enable_padding(length=8)
    made.save(str(folder / "tokenizer.json"))
    store.build_exact(str(folder), "mine")
    assert describe(store, "mine", VECTORS).wording == Wording("wordpiece", (1,), (2,))
    with pytest.raises(UnsupportedModel, match="no chat template"):
        describe(store, "mine", CHAT)


@pytest.mark.process
def test_a_tokenizer_that_gives_no_text_back_is_refused(tmp_path: Path) -> None:
    """Protects requesters, who could not check their ids: SentencePiece puts marks in place of spaces."""
    folder, store = tmp_path / "theirs", ModelStore(tmp_path / "store", sources={})
    folder.mkdir()
    save_file(random_encoder_state(TINY_ENCODER, 1), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(TINY_ENCODER))
    made = Tokenizer(models.BPE({"<unk>": 0, "▁": 1, "a": 2}, [], unk_token="<unk>"))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    made.save(str(folder / "tokenizer.json"))
    store.build_exact(str(folder), "mine")
    with pytest.raises(UnsupportedModel, match="none of byte_bpe, wordpiece"):
        describe(store, "mine", VECTORS)
    (store.load("mine").tokenizer).write_bytes(b"{}")
    with pytest.raises((UnsupportedModel, UnsafeModelFormat), match="tokenizer"):
        describe(store, "mine", VECTORS)


DESCRIBED = Stored("ab" * 32, "cd" * 32, "0x" + "ef" * 32, chat_ml(BYTES), positions=512, vocab_size=512)


def written(stored: Stored, **most: int | None) -> Manifest:
    sizes = kinds.sized("generation", **(SMALL | most))
    return kinds.write_manifest("generation", "mine", None, check_price_units=1, stored=stored, **sizes)


@pytest.mark.parametrize(
    ("most", "stored", "told"),
    [
        ({"max_tokens": 505}, DESCRIBED, "allows 513 positions, the model has 512"),
        ({"max_tokens": 97}, DESCRIBED, "has 97 tokens, and a text with them may have 97"),
        ({"max_texts": 1900}, DESCRIBED, "could have 68404 bytes, 65536 are the most"),
        ({}, Stored(**(vars(DESCRIBED) | {"vocab_size": 2})), r"have the tokens \[.*\], and the model knows 2"),
    ],
)
def test_a_workload_that_cannot_be_answered_is_not_written(most: dict[str, int], stored: Stored, told: str) -> None:
    """Protects nodes from workloads that they would refuse to load, and requesters from orders that none can fill."""
    written(DESCRIBED)
    with pytest.raises(UnsupportedModel, match=told):
        written(stored, **most)


def test_limits_are_changed_together() -> None:
    """A text of more tokens has more bytes, and an answer is never longer by default than at most."""
    sizes = kinds.sized("generation", max_tokens=2048, max_new_tokens=64)
    assert sizes["input"] == {"max_texts": 4, "max_bytes": 16_384, "max_tokens": 2048}
    assert sizes["params"][MAX_NEW_TOKENS] == {"minimum": 1, "maximum": 64, "default": 64}
    assert kinds.sized("generation") == {name: CHAT.template[name] for name in ("input", "params")}
    with pytest.raises(UnknownKind, match="makes no new tokens"):
        kinds.sized("embedding", max_new_tokens=1)
