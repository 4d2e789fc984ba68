"""The sha256 tree whose root is the trace hash (SPEC section 5; COURT.md, "The trace hash").

A trace is a list of texts, a text a list of positions, a position a list of blocks of up to 256 numbers: logits, or an
encoder's states, as int32 little-endian. A list's root binds its length, and the first byte says what is hashed (0 a
block, 1 two nodes, 2 a list), so that no node passes for another. A block and three paths prove one number.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

BLOCK_NUMBERS = 256
NUMBER_BYTES = 4
BLOCK_BYTES = BLOCK_NUMBERS * NUMBER_BYTES
MAX_COUNT = 2**32 - 1

_BLOCK, _PAIR, _LIST = b"\0", b"\1", b"\2"

Digest = Callable[[bytes], bytes]
"""A hash of 32 bytes. The trace hash uses sha256; the court's own trees are built alike with keccak256."""


def by_sha256(data: bytes) -> bytes:
    """sha256 of `data`."""
    return sha256(data).digest()


def block_leaf(block: bytes) -> bytes:
    """The digest of a block of 1 to 256 numbers. Raises ValueError for another length."""
    if not 0 < len(block) <= BLOCK_BYTES or len(block) % NUMBER_BYTES:
        raise ValueError(f"a block has 1 to {BLOCK_NUMBERS} numbers of {NUMBER_BYTES} bytes, not {len(block)} bytes")
    return by_sha256(_BLOCK + block)


def row_leaves(row: bytes) -> list[bytes]:
    """The digests of the blocks of a row, which is one position's numbers."""
    return [block_leaf(row[start : start + BLOCK_BYTES]) for start in range(0, len(row), BLOCK_BYTES)]


class Tree:
    """The tree over a list of 32-byte digests: its root, and the path of any element. Raises ValueError."""

    def __init__(self, leaves: Iterable[bytes], digest: Digest = by_sha256) -> None:
        level = list(leaves)
        if len(level) > MAX_COUNT or any(len(leaf) != 32 for leaf in level):
            raise ValueError("a list has fewer than 2^32 elements, digests of 32 bytes each")
        self._levels = [level]
        while len(level) > 1:
            level = _parents(level, digest)
            self._levels.append(level)
        self.root = _sealed(len(self._levels[0]), b"".join(level), digest)

    @property
    def top(self) -> bytes:
        """The node above all elements, which does not bind their number. Raises ValueError if there are none."""
        if not self._levels[0]:
            raise ValueError("there is no node above nothing")
        return self._levels[-1][0]

    def path(self, index: int) -> list[bytes]:
        """The siblings of element `index` from below; a level on which it has none adds none. Raises IndexError."""
        count = len(self._levels[0])
        if not 0 <= index < count:
            raise IndexError(f"there is no element {index} in a list of {count}")
        places = ((level, (index >> height) ^ 1) for height, level in enumerate(self._levels))
        return [level[sibling] for level, sibling in places if sibling < len(level)]


def list_root(leaves: Iterable[bytes], digest: Digest = by_sha256) -> bytes:
    """The digest of a list, which binds its length. An empty list has one, too."""
    return Tree(leaves, digest).root


def top_of(leaves: Iterable[bytes]) -> bytes:
    """The node above 1 to 2^k neighbours of a list, from a multiple of 2^k on. Raises ValueError."""
    return Tree(leaves).top


def list_root_above(count: int, nodes: Iterable[bytes]) -> bytes:
    """The digest of a list of `count` elements, from all nodes of one level (`top_of`)."""
    level = list(nodes)
    return _sealed(count, top_of(level) if level else b"", by_sha256)


def path_length(index: int, count: int) -> int:
    """The number of siblings on the path of element `index` in a list of `count`."""
    length = 0
    while count > 1:
        length += index ^ 1 < count
        index, count = index // 2, (count + 1) // 2
    return length


def climb(leaf: bytes, index: int, count: int, path: Sequence[bytes], digest: Digest = by_sha256) -> bytes:
    """The digest of the list of `count` elements with `leaf` at `index`, by a path of `path_length` siblings."""
    node, width, used = leaf, count, 0
    while width > 1:
        if index ^ 1 < width:
            node = _pair(path[used], node, digest) if index & 1 else _pair(node, path[used], digest)
            used += 1
        index, width = index // 2, (width + 1) // 2
    return _sealed(count, node, digest)


def _pair(left: bytes, right: bytes, digest: Digest) -> bytes:
    return digest(_PAIR + left + right)


def _sealed(count: int, top: bytes, digest: Digest) -> bytes:
    return digest(_LIST + count.to_bytes(4, "big") + top)


def _parents(level: list[bytes], digest: Digest) -> list[bytes]:
    pairs = [_pair(level[i], level[i + 1], digest) for i in range(0, len(level) - 1, 2)]
    return pairs + level[-1:] if len(level) % 2 else pairs
