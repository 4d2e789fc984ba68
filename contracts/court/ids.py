"""Opening a block of words under the root of packed ids or vectors (SPEC section 3): only this file knows its form.

    block = H(0 | up to 64 words)        node = H(1 | up to 64 digests)
    list  = H(2 | uint32 count | top)    root = H(3 | uint32 count | top of the lists' digests)

by keccak256, words of 4 bytes big-endian. A path lists the siblings in each node from below, from left to right.
"""

from collections.abc import Sequence

from contracts.protocol.hashing import keccak

FANOUT = 64
ZERO32 = bytes(32)


def climb_words(data: bytes, block: int, words: int, path: Sequence[bytes], text: int, texts: int) -> bytes | None:
    """The root above a block of the list `text` of `texts`, of `words` words; None for a wrong path."""
    blocks, rest = -(-words // FANOUT), list(path)
    if not (0 <= block < blocks and 0 <= text < texts):
        return None
    node = _climb(keccak(b"\0" + data), block, blocks, rest)
    if node is None:
        return None
    node = _climb(keccak(b"\2" + words.to_bytes(4, "big") + node), text, texts, rest)
    return None if node is None or rest else keccak(b"\3" + texts.to_bytes(4, "big") + node)


def words_path(lists: Sequence[bytes], text: int, block: int) -> list[bytes]:
    """The path of a block of the list `text`, from the bytes of all lists' words."""
    return [*_path(_blocks(lists[text]), block), *_path([_list(words) for words in lists], text)]


def words_root(lists: Sequence[bytes]) -> bytes:
    """The root over lists, from the bytes of their words."""
    return keccak(b"\3" + len(lists).to_bytes(4, "big") + _top([_list(words) for words in lists]))


def _list(words: bytes) -> bytes:
    return keccak(b"\2" + (len(words) // 4).to_bytes(4, "big") + _top(_blocks(words)))


def _blocks(words: bytes) -> list[bytes]:
    return [keccak(b"\0" + words[start : start + 4 * FANOUT]) for start in range(0, len(words), 4 * FANOUT)]


def _parents(level: list[bytes]) -> list[bytes]:
    return [keccak(b"\1" + b"".join(level[start : start + FANOUT])) for start in range(0, len(level), FANOUT)]


def _top(level: list[bytes]) -> bytes:
    while len(level) > 1:
        level = _parents(level)
    return level[0] if level else ZERO32


def _path(level: list[bytes], index: int) -> list[bytes]:
    path: list[bytes] = []
    while len(level) > 1:
        first = index - index % FANOUT
        path += [node for at, node in enumerate(level[first : first + FANOUT], first) if at != index]
        level, index = _parents(level), index // FANOUT
    return path


def _climb(node: bytes, index: int, count: int, path: list[bytes]) -> bytes | None:
    while count > 1:
        first = index - index % FANOUT
        siblings = min(FANOUT, count - first) - 1
        if len(path) < siblings:
            return None
        level, path[:] = path[:siblings], path[siblings:]
        level.insert(index - first, node)
        node, index, count = keccak(b"\1" + b"".join(level)), index // FANOUT, -(-count // FANOUT)
    return node
