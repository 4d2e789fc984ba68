"""The tree of sha256 that a trace hash is the root of (SPEC section 5; COURT.md, "The trace hash").

A trace is a list of texts, a text a list of positions, a position a list of blocks of up to 256 numbers: logits, or the
states of an encoder, as int32 little-endian. Each list has a root that binds how many elements it has, and each first
byte names what is hashed (0 a block, 1 two nodes, 2 a list), so that no node passes for another. One number is shown
by its block and three paths.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256

BLOCK_NUMBERS = 256
NUMBER_BYTES = 4
BLOCK_BYTES = BLOCK_NUMBERS * NUMBER_BYTES
MAX_COUNT = 2**32 - 1

_BLOCK, _PAIR, _LIST = b"\0", b"\1", b"\2"


def block_leaf(block: bytes) -> bytes:
    """The digest of one block of 4 to 1,024 bytes, whole numbers. Raises ValueError for another length."""
    if not 0 < len(block) <= BLOCK_BYTES or len(block) % NUMBER_BYTES:
        raise ValueError(f"a block has 1 to {BLOCK_NUMBERS} numbers of {NUMBER_BYTES} bytes, not {len(block)} bytes")
    return sha256(_BLOCK + block).digest()


def row_leaves(row: bytes) -> list[bytes]:
    """The digests of a row's blocks in order: one position's numbers, int32 little-endian."""
    return [block_leaf(row[start : start + BLOCK_BYTES]) for start in range(0, len(row), BLOCK_BYTES)]


def list_root(leaves: Iterable[bytes]) -> bytes:
    """The digest of a list of 32-byte digests in order, which binds their number; an empty list has one too."""
    level = _checked(leaves)
    count = len(level)
    while len(level) > 1:
        level = _parents(level)
    return _sealed(count, b"".join(level))


def top_of(leaves: Iterable[bytes]) -> bytes:
    """The node above some neighbours of a list: 1 to 2^k of them, from a multiple of 2^k on. Raises ValueError."""
    level = _checked(leaves)
    if not level:
        raise ValueError("there is no node above nothing")
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def list_root_above(count: int, nodes: Iterable[bytes]) -> bytes:
    """The digest of a list of `count` elements, from all its nodes of one level (`top_of`)."""
    level = _checked(nodes)
    return _sealed(count, top_of(level) if level else b"")


def list_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The siblings of the element `index` from below; a level on which it moves up alone adds none.

    Raises IndexError if there is no such element.
    """
    level, path = _checked(leaves), []
    if not 0 <= index < len(level):
        raise IndexError(f"there is no element {index} in a list of {len(level)}")
    while len(level) > 1:
        if index ^ 1 < len(level):
            path.append(level[index ^ 1])
        level, index = _parents(level), index // 2
    return path


def verify_path(leaf: bytes, index: int, count: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the digest `leaf` is the element `index` of the list of `count` elements with this root."""
    if not 0 <= index < count <= MAX_COUNT or any(len(digest) != 32 for digest in (leaf, *path)):
        return False
    node, width, rest = leaf, count, list(path)
    while width > 1:
        if index ^ 1 < width:
            if not rest:
                return False
            sibling = rest.pop(0)
            node = _pair(sibling, node) if index & 1 else _pair(node, sibling)
        index, width = index // 2, (width + 1) // 2
    return not rest and _sealed(count, node) == root


def _checked(leaves: Iterable[bytes]) -> list[bytes]:
    level = list(leaves)
    if len(level) > MAX_COUNT or any(len(leaf) != 32 for leaf in level):
        raise ValueError("a list has fewer than 2^32 elements, digests of 32 bytes each")
    return level


def _pair(left: bytes, right: bytes) -> bytes:
    return sha256(_PAIR + left + right).digest()


def _sealed(count: int, top: bytes) -> bytes:
    return sha256(_LIST + count.to_bytes(4, "big") + top).digest()


def _parents(level: list[bytes]) -> list[bytes]:
    pairs = [_pair(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return pairs + level[-1:] if len(level) % 2 else pairs
