"""What ids spell, read by our own lines: as the `tokenizers` library reads it, and nothing of the file's is run."""

import hashlib
import json
from functools import cache
from unicodedata import category, ucd_3_2_0

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from contracts.protocol.errors import WrongTokenizer
from contracts.protocol.spelling import MAX_TOKENIZER_BYTES, Spelling
from contracts.protocol.tokens import TextTokenizer
from tests.world.node_fakes import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256
from tests.world.prompts import MINILM, SMOLLM2, read, tokenizer_of, with_words

BYTES = Spelling(BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256, "byte_bpe")
WORDS = [
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *"abcdefghijklmnopqrstuvwxyz0123456789.,!?",
    *(f"##{x}" for x in "abcdefghijklmnop"),
]


@cache
def wordpiece() -> tuple[TextTokenizer, Spelling]:
    made = Tokenizer(models.WordPiece({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(["[UNK]", "[CLS]", "[SEP]"])
    data = made.to_str().encode()
    return read(data), Spelling(data, hashlib.sha256(data).hexdigest(), "wordpiece")


@given(st.lists(st.integers(0, 300)))
def test_ids_are_read_as_the_library_reads_them(ids: list[int]) -> None:
    """Protects what people read of an answer, whatever ids a node gives: control tokens, broken UTF-8, unknown ids."""
    assert BYTES.spell(ids) == read(BYTE_TOKENIZER).decode(ids)


@given(st.lists(st.integers(0, 300)))
def test_whole_words_are_read_too(ids: list[int]) -> None:
    """The same of a vocabulary with pieces longer than a byte."""
    data = with_words("hello", "Ġworld")
    assert Spelling(data, hashlib.sha256(data).hexdigest(), "byte_bpe").spell(ids) == read(data).decode(ids)


@given(st.text(), st.text())
def test_ids_spell_their_text_alone(text: str, other: str) -> None:
    """Protects a requester: the ids of its text pass, those of any other don't, nor do control tokens."""
    ids = read(BYTE_TOKENIZER).encode(text)
    assert BYTES.spells(ids, text)
    assert BYTES.spells(ids, other) == (text == other)
    assert not BYTES.spells([*ids, 2], text)
    assert not BYTES.spells([*ids, 100_000], text)


@given(
    st.text(st.characters(codec="utf-8").filter(lambda c: category(c) == ucd_3_2_0.category(c)))
    | st.text("abcXYZ äÉ09.,!?\t\n\u3000Σİ漢\U0002b830\u200b\x85"),
    st.text("abcXYZ äÉ09.,!?"),
)
@example("ab" * 60, "")
def test_pieces_are_cut_as_the_library_cuts_them(text: str, other: str) -> None:
    """The same of wordpiece, whose ids know no case, accents and white space, and no unknown words either.

    Characters that Unicode has added or changed since 3.2 are left out: the library knows fewer of them than Python."""
    tokenizer, spelling = wordpiece()
    ids = tokenizer.encode(text)
    assert spelling.spells(ids, text)
    assert spelling.spells(ids, other) == (tokenizer.encode(other) == ids)
    assert not spelling.spells([*ids, 1], text)


@pytest.mark.model
@pytest.mark.parametrize(("model", "family"), [(SMOLLM2, "byte_bpe"), (MINILM, "wordpiece")])
def test_real_vocabularies(model: str, family: str) -> None:
    """Protects the models that are offered: every id of them is read, and texts are spelt by their ids."""
    tokenizer = tokenizer_of(model)
    data = tokenizer._tokenizer.to_str().encode()  # type: ignore[attr-defined]
    spelling = Spelling(data, hashlib.sha256(data).hexdigest(), family)  # type: ignore[arg-type]
    texts = [
        "Why is the sky blue?",
        "Héllo,\n  wörld 2026!",
        "x" * 90,
        "def f(x):\n\treturn x**2",
        "漢字 \U0001f642 [CLS] Ω",
    ]
    for text in texts:
        assert spelling.spells(tokenizer.encode(text), text)
        assert not spelling.spells(tokenizer.encode(text)[1:], text)
    if family == "byte_bpe":
        for start in range(0, 49_152, 7):
            ids = list(range(start, start + 7))
            assert spelling.spell(ids) == tokenizer.decode(ids)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04pickle",
        b"[" * 10**6,
        b'{"model":' * 10**5,
        b'{"model":{"vocab":[["a",0.0]]}}',
        b'{"model":{"vocab":{"a":-1}}}',
        b'{"model":{"vocab":{"a":1e3}}}',
        b'{"model":{"vocab":{"a":1}},"added_tokens":[{"id":1}]}',
        b'{"model":{"vocab":{"\\ud800":1}}}',
        bytes(MAX_TOKENIZER_BYTES + 1),
    ],
)
def test_what_has_no_vocabulary_is_refused(data: bytes) -> None:
    """Protects clients and backends from files of strangers: a typed error, whatever they hold. Covers: A48"""
    with pytest.raises(WrongTokenizer):
        Spelling(data, hashlib.sha256(data).hexdigest(), "byte_bpe")


def test_another_file_is_refused() -> None:
    """Protects who asked for one tokenizer from another."""
    with pytest.raises(WrongTokenizer, match="hashes to"):
        Spelling(json.dumps({}).encode(), BYTE_TOKENIZER_SHA256, "byte_bpe")
