"""Tokenizers of strangers: they cut texts in a confined process, and can hold nobody up."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.errors import Misconfigured
from backend.store.tokenizers import TokenizerStore
from contracts.protocol.errors import BadTexts, WrongTokenizer
from contracts.protocol.manifest import Manifest
from node_agent.execution.sandbox.messages import Cut
from tests.unit.backend.world import MANIFEST
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.prompts import read

pytestmark = [pytest.mark.confined, pytest.mark.process]


@pytest.fixture
def offered(tmp_path: Path) -> Callable[[bytes], tuple[TokenizerStore, Manifest]]:
    """A store with one tokenizer, and the manifest that names it."""

    def offer(data: bytes) -> tuple[TokenizerStore, Manifest]:
        store, sha256 = TokenizerStore(tmp_path), hashlib.sha256(data).hexdigest()
        manifest = MANIFEST.model_copy(update={"tokenizer_sha256": sha256})
        store.put(manifest, data)
        return store, manifest

    return offer


def test_texts_are_cut_as_by_the_library(offered: Callable[[bytes], tuple[TokenizerStore, Manifest]]) -> None:
    """Between pipes not an id changes."""
    store, manifest = offered(BYTE_TOKENIZER)
    cut, here = store.get(manifest), read(BYTE_TOKENIZER)
    for text in ("", "hello", "é \U0001f642 <|im_end|>", "\0\n", "x" * 10_000):
        assert cut.encode(text) == here.encode(text)


def test_an_expression_that_never_ends_holds_nobody_up(
    offered: Callable[[bytes], tuple[TokenizerStore, Manifest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a backend that offers a stranger's model: an expression of its tokenizer that would run for years is
    ended, that text is refused, and others are cut. Covers: A48"""
    monkeypatch.setattr(Cut, "within_s", 3.0)
    tokenizer = json.loads(BYTE_TOKENIZER)
    split = {"type": "Split", "pattern": {"Regex": "^((a|a)+)+$"}, "behavior": "Isolated", "invert": False}
    tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, tokenizer["pre_tokenizer"]]}
    store, manifest = offered(json.dumps(tokenizer).encode())
    cut = store.get(manifest)
    assert len(cut.encode("aab")) == 3
    started = time.monotonic()
    with pytest.raises(BadTexts, match="cannot be cut"):
        cut.encode("a" * 60 + "b")
    assert time.monotonic() - started < 60
    assert len(cut.encode("aab")) == 3


@pytest.mark.parametrize("data", [b"{}", b"\x80\x04pickle", b'{"model":' * 10**5])
def test_what_has_no_vocabulary_is_not_kept(
    offered: Callable[[bytes], tuple[TokenizerStore, Manifest]], data: bytes
) -> None:
    """Protects a backend's operator from a file that is no tokenizer. Covers: A48"""
    with pytest.raises(WrongTokenizer):
        offered(data)


def test_what_cuts_nothing_is_refused(offered: Callable[[bytes], tuple[TokenizerStore, Manifest]]) -> None:
    """The same of a file that has a vocabulary, and that the library cannot read: the process refuses it."""
    store, manifest = offered(b'{"model":{"vocab":{"a":0}}}')
    with pytest.raises(WrongTokenizer, match="cannot be read"):
        store.get(manifest).encode("a")


def test_a_missing_one_is_named(offered: Callable[[bytes], tuple[TokenizerStore, Manifest]]) -> None:
    """Protects an operator who lost a file: the error names it and the way out."""
    store, manifest = offered(BYTE_TOKENIZER)
    other = manifest.model_copy(update={"tokenizer_sha256": "ab" * 32})
    for ask in (store.get, store.spelling):
        with pytest.raises(Misconfigured, match="offer the workload again"):
            ask(other)
