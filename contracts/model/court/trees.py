"""The court's keccak trees, and the path from a block to its root through lists of lists.

A list is that of `contracts.protocol.trace_tree`, by keccak256: its nodes are pairs, so that a path is short; shown on
chain it is 64-ary, since six levels are shown at once (`shown_root`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from contracts.court.layout import Array, Home, Layout, Place
from contracts.model.court.ids import climb_words
from contracts.protocol import trace_tree
from contracts.protocol.hashing import keccak
from contracts.protocol.trace_tree import Digest, by_sha256

SHOWN = 64
"""Digests that one demand shows: six levels below the node that was asked for."""

list_root = partial(trace_tree.list_root, digest=keccak)


def leaf(data: bytes, digest: Digest = keccak) -> bytes:
    """The digest of a block's bytes."""
    return digest(b"\0" + data)


def shown_root(digests: Sequence[bytes]) -> bytes:
    """The node over up to 64 digests that were shown for it, six levels above them or fewer."""
    if not 0 < len(digests) <= SHOWN:
        raise ValueError(f"a demand shows 1 to {SHOWN} digests, not {len(digests)}")
    level = list(digests)
    while len(level) > 1:
        pairs = [keccak(b"\1" + level[i] + level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[-1:] if len(level) % 2 else pairs
    return level[0]


@dataclass(frozen=True)
class Key:
    """What is opened: one block of a row, or a row whole.

    Attributes:
        block: the block's index, or None for all of the row's.
    """

    array: str
    place: Place
    row: int
    block: int | None


@dataclass(frozen=True)
class TreeOpening:
    """Bytes, and the digests that lead from them to their root, from below."""

    data: bytes
    path: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Texts:
    """Which text of how many a computation is."""

    index: int
    count: int


def hops(layout: Layout, array: Array, key: Key, texts: Texts) -> list[tuple[int, int]]:
    """(index, count) in each list from the block, or the row, up to the root of the array's home."""
    rows, _ = array.shape(key.place)
    inside = [] if key.block is None else [(key.block, array.blocks(key.place))]
    inside.append((key.row, rows))
    if array.home is Home.LOGGED:
        return [*inside, (texts.index, texts.count)]
    at_home = layout.at_home(array.home, array.unit)
    if array.home is Home.UNIT:
        return [*inside, (layout.index(array), len(at_home))]
    inside.append((array.sheet(key.place), array.sheets))
    if array.home is Home.MODEL:
        return [*inside, (1 + layout.index(array), 1 + len(at_home))]
    return [*inside, (layout.index(array), len(at_home)), (texts.index, texts.count)]


def root_of(layout: Layout, array: Array, key: Key, opening: TreeOpening, texts: Texts) -> bytes | None:
    """The root that an opening leads to; None if its path has another length than its place asks for."""
    if array.home in (Home.PROMPT, Home.OUTPUT):
        return climb_words(
            opening.data, key.block or 0, array.shape(key.place)[1], opening.path, texts.index, texts.count
        )
    digest = by_sha256 if array.home is Home.LOGGED else keccak
    steps, path = hops(layout, array, key, texts), opening.path
    if len(path) != sum(trace_tree.path_length(index, count) for index, count in steps):
        return None
    node = _whole(array, opening.data, digest) if key.block is None else leaf(opening.data, digest)
    for index, count in steps:
        used = trace_tree.path_length(index, count)
        node, path = trace_tree.climb(node, index, count, path[:used], digest), path[used:]
    return node


def blocks_of(array: Array, data: bytes) -> list[bytes]:
    """A row's bytes, cut into blocks."""
    size = array.block * array.kind.width
    return [data[start : start + size] for start in range(0, len(data), size)]


def _whole(array: Array, data: bytes, digest: Digest) -> bytes:
    return trace_tree.list_root([leaf(block, digest) for block in blocks_of(array, data)], digest)
