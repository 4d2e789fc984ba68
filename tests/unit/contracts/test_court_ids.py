"""Words under the root of packed ids: any block of any list is shown by its path, and by no other."""

from random import Random

import pytest

from contracts.model.court.ids import climb_words, words_path
from contracts.protocol.packed import list_root, root_of

COUNTS = [[1], [64], [65, 1, 0], [4_096], [4_097, 3], [200] * 65]


def lists(counts: list[int]) -> list[bytes]:
    random = Random(len(counts))
    return [random.randbytes(4 * count) for count in counts]


@pytest.mark.parametrize("counts", COUNTS)
def test_every_block_is_shown_by_its_path(counts: list[int]) -> None:
    """Right for its block, list and number of words; not for another, nor with a digest more or less."""
    given = lists(counts)
    root = root_of(map(list_root, given))
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
