"""A receipt says of its answer whether it was cut, as far as that can be known."""

import pytest

from contracts.protocol.canonical import canonical_json
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.records import Commitment
from verifier.receipts.onchain import LeafHistory
from verifier.receipts.words import cut_words, limits

CUT, WHOLE = ({"finish_reason": reason, "text": "Because", "token_ids": [5]} for reason in ("length", "stop"))


def receipt(units: int, params: dict[str, int]) -> PaymentReceipt:
    """Only what the words are made of."""
    return PaymentReceipt.model_construct(params=params, commitment=Commitment.model_construct(units=units))


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (canonical_json([CUT, WHOLE]), ["Of its 2 answers 1 were cut at the 4 tokens that were ordered."]),
        (canonical_json([WHOLE]), []),
        (canonical_json([[1, 2, 3]]), []),
        (canonical_json({"finish_reason": "length"}), []),
        (b"\xff no json", []),
    ],
)
def test_an_answer_that_is_held_tells_whether_it_was_cut(output: bytes, said: list[str]) -> None:
    """Whoever shows an answer as whole is contradicted; a node may have committed to any bytes."""
    assert cut_words(receipt(4, {"max_new_tokens": 4}), output) == said


@pytest.mark.parametrize(
    ("units", "params", "doubted"),
    [(4, {"max_new_tokens": 4}, True), (3, {"max_new_tokens": 4}, False), (9, {}, False)],
)
def test_without_the_answer_it_is_doubted_only_where_it_may_be(
    units: int, params: dict[str, int], doubted: bool
) -> None:
    """Fewer units than the limit: no answer can have been cut. Embeddings have no limit."""
    facts = LeafHistory.__new__(LeafHistory)
    object.__setattr__(facts, "draw", None)
    object.__setattr__(facts, "outcome", "paid")
    told = [line for line in limits(receipt(units, params), facts, None) if "whole" in line]
    assert (told == ["That the answer is whole: it may have been cut at the 4 tokens that were ordered."]) == doubted
    assert bool(told) == doubted
