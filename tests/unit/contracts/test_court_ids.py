"""Words under the root of packed ids: any block of any list is shown by its path, and by no other."""

from random import Random

import pytest

from contracts.court.ids import climb_words, words_path, words_root
from contracts.protocol.hashing import keccak

COUNTS = [[1], [64], [65, 1, 0], [4_096], [4_097, 3], [200] * 65]


def lists(counts: list[int]) -> list[bytes]:
    random = Random(len(counts))
    return [random.randbytes(4 * count) for count in counts]


def plain_root(given: list[bytes]) -> bytes:
    """SPEC section 3, from above: a node's children are what its level below is cut into."""

    def top(digests: list[bytes]) -> bytes:
        if len(digests) <= 1:
            return digests[0] if digests else bytes(32)
        size = 1
        while 64 * size < len(digests):
            size *= 64
        parts = [digests[start : start + size] for start in range(0, len(digests), size)]
        return keccak(b"\1" + b"".join(_full(part, size) for part in parts))

    def whole(words: bytes) -> bytes:
        blocks = [keccak(b"\0" + words[start : start + 256]) for start in range(0, len(words), 256)]
        return keccak(b"\2" + (len(words) // 4).to_bytes(4, "big") + top(blocks))

    return keccak(b"\3" + len(given).to_bytes(4, "big") + top([whole(words) for words in given]))


def _full(digests: list[bytes], size: int) -> bytes:
    """A part of a level, as high as its siblings although it may have one digest only."""
    while size > 1:
        digests = [keccak(b"\1" + b"".join(digests[start : start + 64])) for start in range(0, len(digests), 64)]
        size //= 64
    return digests[0]


@pytest.mark.parametrize("counts", COUNTS)
def test_every_block_is_shown_by_its_path(counts: list[int]) -> None:
    """Right for its block, list and number of words; not for another, nor with a digest more or less."""
    given = lists(counts)
    root = words_root(given)
    assert root == plain_root(given)
    for text in {0, len(given) - 1} - {index for index, count in enumerate(counts) if not count}:
        words, blocks = counts[text], -(-counts[text] // 64)
        for block in {0, blocks - 1}:
            data, path = given[text][256 * block : 256 * block + 256], words_path(given, text, block)
            assert climb_words(data, block, words, path, text, len(given)) == root
            assert climb_words(data, block, words + 64, path, text, len(given)) != root
            assert climb_words(data[:-1], block, words, path, text, len(given)) != root
            assert climb_words(data, block, words, [*path, bytes(32)], text, len(given)) is None
            if path:
                assert climb_words(data, block, words, path[:-1], text, len(given)) is None
                assert climb_words(data, block, words, [bytes(32), *path[1:]], text, len(given)) != root
            if blocks > 1:
                assert climb_words(data, block ^ 1, words, path, text, len(given)) != root
