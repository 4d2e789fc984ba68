"""Backends cut texts, and clients see that the ids are those of their texts."""

from collections.abc import Callable
from typing import cast

import pytest

from backend.client.errors import Refused, Untrue
from backend.client.http import BackendHttp
from backend.client.vocabulary import Vocabularies
from contracts.protocol.errors import BadTexts
from contracts.protocol.packed import unpack
from contracts.protocol.wire import Tokenize, Tokenized
from tests.unit.backend.world import MANIFEST
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.prompts import BYTES

TEXTS = ["Pay Ann 5", "Good\nmorning"]
Prompts = list[list[int]]


class Backend:
    """Answers as one that lies in this way, or refuses."""

    def __init__(self, lie: Callable[[Prompts], Prompts] = lambda true: true, refusal: str = "") -> None:
        self._lie, self._refusal = lie, refusal

    def tokenizer(self, workload_id: str) -> bytes:
        return BYTE_TOKENIZER

    def tokenize(self, asked: Tokenize) -> Tokenized:
        if self._refusal:
            raise Refused(status=422, code=self._refusal, detail="the input has 999 tokens in text 0")
        true = [MANIFEST.prompt(BYTES.encode(text)) for text in asked.texts]
        return Tokenized(prompts=self._lie(true), prompt_root="0x" + "00" * 32)


def prompts(backend: Backend) -> Prompts:
    return unpack(Vocabularies(cast(BackendHttp, backend)).prompts(MANIFEST, TEXTS))


def test_true_ids_are_taken() -> None:
    """The tests below would see a client that takes none."""
    assert prompts(Backend()) == [MANIFEST.prompt(BYTES.encode(text)) for text in TEXTS]


OTHER = MANIFEST.prompt(BYTES.encode("Pay Bob 5"))


@pytest.mark.parametrize(
    "lie",
    [
        lambda true: [OTHER, true[1]],
        lambda true: true[::-1],
        lambda true: true[:1],
        lambda true: [*true, true[0]],
        lambda true: [true[0], []],
        lambda true: [true[0][1:], true[1]],
        lambda true: [[*true[0], 2], true[1]],
        lambda true: [[*true[0][:-1], 2, true[0][-1]], true[1]],
        lambda true: [true[0], [2**32 - 1, *true[1][1:]]],
    ],
    ids=["other text", "other order", "too few", "too many", "none", "cut", "longer", "control token", "no such token"],
)
def test_other_ids_are_refused(lie: Callable[[Prompts], Prompts]) -> None:
    """Protects a requester's signature from a backend that passes other words for its own: nothing is signed."""
    with pytest.raises(Untrue):
        prompts(Backend(lie))


def test_refusals_are_told_apart() -> None:
    """What the workload does not take is the text's fault; any other refusal is passed on."""
    with pytest.raises(BadTexts, match=r"^the input has 999 tokens"):
        prompts(Backend(refusal="input_refused"))
    with pytest.raises(Refused, match="too_busy"):
        prompts(Backend(refusal="too_busy"))
