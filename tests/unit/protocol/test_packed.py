"""Packed words: one spelling a list of lists, and one root, held against a second implementation."""

import struct

import pytest
from eth_utils.crypto import keccak
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.protocol import packed
from contracts.protocol.errors import NotPacked
from contracts.protocol.hashing import to_hex
from tests.unit.protocol.test_vectors import cases

LISTS = st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=200), max_size=5)


def second_root(lists: list[list[int]]) -> bytes:
    """The root from SPEC's words, top down and recursive, by another keccak."""

    def above(digests: list[bytes]) -> bytes:
        if len(digests) <= 1:
            return digests[0] if digests else bytes(32)
        span = 64
        while span < len(digests):
            span *= 64
        part = span // 64
        return keccak(b"\x01" + b"".join(subtree(digests[i : i + part], part) for i in range(0, len(digests), part)))

    def subtree(digests: list[bytes], span: int) -> bytes:
        if span == 1:
            return digests[0]
        part = span // 64
        return keccak(b"\x01" + b"".join(subtree(digests[i : i + part], part) for i in range(0, len(digests), part)))

    def one(words: list[int]) -> bytes:
        blocks = [words[i : i + 64] for i in range(0, len(words), 64)]
        leaves = [keccak(b"\x00" + struct.pack(f">{len(block)}I", *block)) for block in blocks]
        return keccak(b"\x02" + struct.pack(">I", len(words)) + above(leaves))

    return keccak(b"\x03" + struct.pack(">I", len(lists)) + above([one(words) for words in lists]))


@given(LISTS)
@example([[7] * (64 * 64 + 1)])
@example([[1]] * 65)
@example([])
def test_words_come_back_and_the_root_is_a_second_implementations(lists: list[list[int]]) -> None:
    """Protects what orders and commitments bind: Python, Solidity and browsers must come to one root."""
    data = packed.pack(lists)
    assert packed.unpack(data) == lists
    assert packed.counts(data) == [len(words) for words in lists]
    assert packed.packed_root(data) == second_root(lists)
    assert packed.is_named(data, to_hex(second_root(lists)))


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=70), max_size=3))
def test_numbers_of_vectors_keep_their_signs(lists: list[list[int]]) -> None:
    """An embedding's numbers are signed, ids are not; the bytes are the same words."""
    assert packed.unpack_signed(packed.pack(lists)) == lists


@given(st.binary(max_size=80))
def test_any_bytes_are_packed_words_of_one_spelling_or_refused(data: bytes) -> None:
    """Two outputs never mean the same words, and a huge count takes no memory. Covers: A58"""
    try:
        lists = packed.unpack(data)
    except NotPacked:
        return
    assert packed.pack(lists) == data


def test_counts_that_lie_are_refused() -> None:
    """Protects: a count of four thousand million that is believed before the bytes are there. Covers: A58"""
    for lying in (b"", b"\xff" * 4, b"\0\0\0\1" + b"\xff" * 4, packed.pack([[1]]) + b"\0"):
        with pytest.raises(NotPacked):
            packed.unpack(lying)
        assert not packed.is_named(lying, "0x" + "00" * 32)
    with pytest.raises(NotPacked, match="32 bits"):
        packed.pack([[2**32]])
    with pytest.raises(NotPacked, match="32 bits"):
        packed.pack([[-(2**31) - 1]])


def test_moving_a_word_moves_the_root() -> None:
    """Lists that hold the same words in other places, or another number of lists, have other roots."""
    shapes = [[[1, 2], [3]], [[1], [2, 3]], [[1, 2, 3]], [[1, 2], [3], []], [[2, 1], [3]], [[3], [1, 2]]]
    assert len({packed.packed_root(packed.pack(shape)) for shape in shapes}) == len(shapes)


def test_vectors() -> None:
    """The golden vectors, which forge and browsers read too."""
    for case in cases("packed"):
        data = bytes.fromhex(case["packed"][2:])
        assert packed.counts(data) == case["counts"]
        assert to_hex(second_root(packed.unpack(data))) == case["root"] == to_hex(packed.packed_root(data))
