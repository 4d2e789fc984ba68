"""The tree of the trace hash, against a second implementation that shares no line with it."""

import hashlib
import struct
from random import Random

import pytest

from contracts.protocol.trace_tree import BLOCK_BYTES, Tree, block_leaf, climb, list_root, path_length, row_leaves

COUNTS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 192]


def digest(*parts: bytes) -> bytes:
    return hashlib.new("sha256", b"".join(parts)).digest()


def top(leaves: list[bytes]) -> bytes:
    """From above: the left part is the largest full binary tree with something left for the right part."""
    if len(leaves) == 1:
        return leaves[0]
    left = 1
    while 2 * left < len(leaves):
        left *= 2
    return digest(b"\x01", top(leaves[:left]), top(leaves[left:]))


def second_root(leaves: list[bytes]) -> bytes:
    return digest(b"\x02", struct.pack(">I", len(leaves)), top(leaves) if leaves else b"")


def leads(leaf: bytes, index: int, count: int, path: list[bytes], root: bytes) -> bool:
    """Whether a path leads from the element `index` of `count` to the root."""
    return 0 <= index < count and len(path) == path_length(index, count) and climb(leaf, index, count, path) == root


def digests(count: int, seed: int = 0) -> list[bytes]:
    return [Random(1000 * seed + index).randbytes(32) for index in range(count)]


@pytest.mark.parametrize("count", [0, *COUNTS])
def test_roots_are_those_of_a_second_implementation(count: int) -> None:
    """Who builds the tree from above and who builds it level by level sign the same trace."""
    assert list_root(digests(count)) == second_root(digests(count))


@pytest.mark.parametrize("count", COUNTS)
def test_each_element_is_shown_by_its_path_and_nowhere_else(count: int) -> None:
    """A path holds for its element, index, count and root; for no other of them."""
    leaves = digests(count)
    root = list_root(leaves)
    for index, leaf in enumerate(leaves):
        path = Tree(leaves).path(index)
        assert leads(leaf, index, count, path, root)
        assert not leads(leaf, index, count + 1, path, root)
        assert not leads(leaf, index, count - 1, path, root)
        assert not leads(bytes(32), index, count, path, root)
        assert not leads(leaf, index, count, [*path, leaf], root)
        assert not leads(leaf, index, count, path, bytes(32))
        assert not any(leads(leaf, other, count, path, root) for other in {0, index ^ 1, count - 1} - {index})
        for level in range(len(path)):
            assert not leads(leaf, index, count, [*path[:level], bytes(32), *path[level + 1 :]], root)
            assert not leads(leaf, index, count, path[:level] + path[level + 1 :], root)


def test_a_block_a_pair_and_a_list_never_pass_for_one_another() -> None:
    """The bytes of two digests are no block, and a list of one list is not that list: each kind has its first byte."""
    left, right = digests(2)
    assert block_leaf(left + right) not in (list_root([left, right]), digest(b"\x01", left, right))
    assert list_root([list_root([left])]) != list_root([left])
    assert list_root([left, right]) != list_root([digest(b"\x01", left, right)])
    assert not leads(digest(b"\x01", left, right), 0, 1, [], list_root([left, right]))


def test_a_row_is_cut_into_blocks_of_256_numbers() -> None:
    """The last block is what is left, without padding: a row of 300 numbers is 256 and 44."""
    row = Random(5).randbytes(4 * 300)
    assert row_leaves(row) == [digest(b"\x00", row[:1024]), digest(b"\x00", row[1024:])]
    assert row_leaves(b"") == []
    for wrong in (b"", bytes(3), bytes(BLOCK_BYTES + 4)):
        with pytest.raises(ValueError, match="a block has"):
            block_leaf(wrong)


def test_what_is_no_digest_is_refused() -> None:
    """A leaf of 31 bytes would shift what a parent hashes."""
    with pytest.raises(ValueError, match="digests of 32 bytes"):
        list_root([bytes(31)])
    with pytest.raises(IndexError):
        Tree(digests(3)).path(3)
