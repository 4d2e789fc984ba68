"""A receipt says of its answer whether it was cut, as far as that can be known."""

import pytest

from contracts.protocol.packed import pack
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.records import Commitment, Order, Params, Terms
from verifier.receipts.onchain import LeafHistory
from verifier.receipts.words import cut_words, limits


def receipt(units: int, most: int) -> PaymentReceipt:
    """Only what the words are made of."""
    terms = Terms.model_construct(params=Params(max_new_tokens=most))
    order, commitment = Order.model_construct(terms=terms), Commitment.model_construct(units=units)
    return PaymentReceipt.model_construct(order=order, commitment=commitment)


@pytest.mark.parametrize(
    ("output", "most", "said"),
    [
        (pack([[1, 2, 3, 4], [5, 2]]), 4, ["1 of 2 answers have all the 4 tokens ordered: they may have been cut."]),
        (pack([[5, 2]]), 4, []),
        (pack([[1, 2, 3]]), 0, []),
        (b"\xff no words", 4, []),
    ],
)
def test_an_answer_that_is_held_tells_whether_it_may_be_cut(output: bytes, most: int, said: list[str]) -> None:
    """Whoever shows an answer as whole is contradicted; a node may have committed to any bytes."""
    assert cut_words(receipt(4, most), output) == said


@pytest.mark.parametrize(
    ("units", "most", "doubted"),
    [(4, 4, True), (3, 4, False), (9, 0, False)],
)
def test_without_the_answer_it_is_doubted_only_where_it_may_be(units: int, most: int, doubted: bool) -> None:
    """Fewer units than the limit: no answer can have been cut. Embeddings have no limit."""
    facts = LeafHistory.__new__(LeafHistory)
    object.__setattr__(facts, "draw", None)
    object.__setattr__(facts, "outcome", "paid")
    told = [line for line in limits(receipt(units, most), facts, None) if "whole" in line]
    assert (told == ["That the answer is whole: it may have been cut at the 4 tokens that were ordered."]) == doubted
    assert bool(told) == doubted
