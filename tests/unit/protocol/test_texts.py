"""Inputs as canonical lists of texts, their limits, their tokens, and the most units that they can take."""

import hashlib
import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.protocol.canonical import canonical_json
from contracts.protocol.errors import BadTexts, WrongTokenizer
from contracts.protocol.manifest import InputLimits, Manifest, Template
from contracts.protocol.texts import decode_texts, encode_texts
from contracts.protocol.tokens import TextTokenizer
from tests.world.node_fakes import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256, fake_manifest

TEXTS = st.lists(st.text(min_size=1).filter(lambda text: bool(text.strip())), min_size=1, max_size=6)
GENERATION = fake_manifest()
EMBEDDING = GENERATION.model_copy(
    update={
        "params": {},
        "meter": "input_tokens",
        "input": InputLimits(max_texts=8, max_bytes=1000, max_tokens=20),
        "template": Template(before=(0,), after=(1,)),
    }
)


@given(TEXTS)
def test_texts_come_back(texts: list[str]) -> None:
    """What was asked is what is read, and there is one spelling of it: the hash names the list."""
    data = encode_texts(texts)
    assert decode_texts(data) == texts
    assert data == json.dumps(texts, ensure_ascii=False, separators=(",", ":")).encode()


@given(
    st.one_of(
        st.binary(max_size=60),
        st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode),
    )
)
def test_any_bytes_are_read_strictly_or_refused(data: bytes) -> None:
    """Nothing but the canonical spelling is read, so two inputs never mean the same list. Covers: A58"""
    try:
        texts = decode_texts(data)
    except BadTexts:
        return
    assert encode_texts(texts) == data


@pytest.mark.parametrize(
    "data",
    [
        b'["a" ]', b' ["a"]', b'["\\u0061"]', b'["\\u00e9"]', b'["a\\/b"]', b'["\xed\xa0\x80"]', b'["\\ud800"]',
        b'["a"]\n',
        b'\xef\xbb\xbf["a"]', b'["a","b",]', b'["a"]["b"]', b'{"0":"a"}', b"null", b'[["a"]]', b"[1]", b'["a",null]',
        b'[""]', b'["\\t"]', b"[]", b"", b"\xff",
    ],
)  # fmt: skip
def test_other_spellings_are_refused(data: bytes) -> None:
    """White space, escapes that need not be, byte order marks, other types, blank texts: all refused by name."""
    with pytest.raises(BadTexts, match="the input "):
        decode_texts(data)


def test_nested_input_cannot_end_the_process() -> None:
    """A library raises Python's recursion limit so far that the standard parser would overflow the stack.

    Covers: A58
    """
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        for data in (b"[" * 1_000_000, b'["a",' + b"[" * 1_000_000, b'{"a":' * 200_000):
            with pytest.raises(BadTexts):
                decode_texts(data)
    finally:
        sys.setrecursionlimit(before)


@pytest.mark.parametrize("texts", [[], [""], [" \n"], ["a", "\t"], ["\ud800"]])
def test_lists_that_are_no_input_are_not_written(texts: list[str]) -> None:
    """A client finds out before it signs."""
    with pytest.raises(BadTexts):
        encode_texts(texts)


def test_a_bare_text_is_not_taken_for_a_list_of_letters() -> None:
    """A string is a sequence of strings, which would order a batch of letters."""
    with pytest.raises(TypeError, match=r"\[text\]"):
        encode_texts("hello")


@given(TEXTS, st.integers(1, 8), st.integers(1, 60))
def test_limits_hold_for_each_text(texts: list[str], max_texts: int, max_bytes: int) -> None:
    """What is read is within the limits, what is refused is not, and the longest input is as long as `most_bytes`."""
    limits = InputLimits(max_texts=max_texts, max_bytes=max_bytes, max_tokens=1)
    data = encode_texts(texts)
    fits = len(texts) <= max_texts and all(len(text.encode()) <= max_bytes for text in texts)
    try:
        assert limits.read(data) == texts
    except BadTexts:
        assert not fits
    else:
        assert fits
        assert len(data) <= limits.most_bytes


def test_the_longest_input_is_known() -> None:
    """Whoever fetches an input stops at the most bytes that the limits allow, control characters included."""
    limits = InputLimits(max_texts=3, max_bytes=5, max_tokens=1)
    assert len(encode_texts(["\x01\x01\x01\x01a"] * 3)) <= limits.most_bytes
    assert len(canonical_json(["\x01" * 5] * 3)) == limits.most_bytes


COUNTS = st.lists(st.integers(1, 1000), min_size=1, max_size=6)


@given(COUNTS, COUNTS, st.integers(1, 64))
def test_most_units_of_a_batch_are_the_sum(first: list[int], second: list[int], new_tokens: int) -> None:
    """A batch is worth its texts one by one, for both meters: ordering them apart is neither dearer nor cheaper."""
    for manifest in (GENERATION, EMBEDDING):
        alone = [manifest.most_units([count], new_tokens) for count in [*first, *second]]
        assert manifest.most_units([*first, *second], new_tokens) == sum(alone)
        assert min(alone) >= 1
    assert GENERATION.most_units(first, new_tokens) == len(first) * new_tokens


@given(COUNTS, st.data(), st.integers(1, 64))
def test_the_units_of_an_answer_are_within_the_most(tokens: list[int], data: st.DataObject, new_tokens: int) -> None:
    """What is charged follows from prompts and output, and never exceeds what the order's maximum was signed for."""
    answers = data.draw(st.lists(st.integers(1, new_tokens), min_size=len(tokens), max_size=len(tokens)))
    assert GENERATION.units(tokens, answers) == sum(answers) <= GENERATION.most_units(tokens, new_tokens)
    assert EMBEDDING.units(tokens, answers) == sum(tokens) == EMBEDDING.most_units(tokens, 0)


def test_too_many_tokens_are_told_exactly() -> None:
    """The exact count, the template in it, and the limit: whoever must shorten knows by how much. Covers: A58"""
    EMBEDDING.input.require_tokens([20, 20])
    with pytest.raises(BadTexts, match="21 tokens in text 1, those around it included, not 1 to 20"):
        EMBEDDING.input.require_tokens([20, 21])


def test_a_tokenizer_is_the_manifests() -> None:
    """Counting with another tokenizer would accept what engines refuse."""
    with pytest.raises(WrongTokenizer, match="hashes to"):
        TextTokenizer(BYTE_TOKENIZER + b" ", BYTE_TOKENIZER_SHA256)
    broken = b'{"version": "1.0"}'
    with pytest.raises(WrongTokenizer, match="cannot be read"):
        TextTokenizer(broken, hashlib.sha256(broken).hexdigest())


def test_truncation_and_padding_of_the_file_do_not_count() -> None:
    """A published tokenizer may be set to cut and to pad; here a text has the tokens that it has."""
    file = json.loads(BYTE_TOKENIZER)
    pad = {"strategy": {"Fixed": 128}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "x"}
    file |= {
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": pad | {"pad_to_multiple_of": None},
    }
    data = json.dumps(file).encode()
    tokenizer = TextTokenizer(data, hashlib.sha256(data).hexdigest())
    assert len(tokenizer.encode("a")) == 1
    assert len(tokenizer.encode("a" * 500)) == 500
    assert len(tokenizer.encode("<|im_end|>")) == 10, "what spells a control token stays text"
    assert tokenizer.decode(tokenizer.encode("héllo")) == "héllo"


def test_every_new_field_decides_the_workload_id() -> None:
    """Kind, unit, meter and limits are in the id that requesters sign."""
    changes = ({"kind": "other"}, {"unit": "word"}, {"input": EMBEDDING.input}, {"engine": "other"})
    ids = {Manifest.model_copy(GENERATION, update=change).workload_id() for change in changes}
    assert len(ids | {GENERATION.workload_id()}) == 5
