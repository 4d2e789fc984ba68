"""Opening a block of words under the root of packed ids or vectors (`contracts.protocol.packed` says its form).

A path lists the siblings in each node of up to 64 digests from below, from left to right: nodes of the block's list,
then those of the lists.
"""

from collections.abc import Sequence

from contracts.protocol.hashing import keccak
from contracts.protocol.packed import FANOUT, list_root


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
    return [*_path(_blocks(lists[text]), block), *_path([list_root(words) for words in lists], text)]


def _blocks(words: bytes) -> list[bytes]:
    return [keccak(b"\0" + words[start : start + 4 * FANOUT]) for start in range(0, len(words), 4 * FANOUT)]


def _parents(level: list[bytes]) -> list[bytes]:
    return [keccak(b"\1" + b"".join(level[start : start + FANOUT])) for start in range(0, len(level), FANOUT)]


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
