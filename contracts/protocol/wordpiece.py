"""Cuts texts into WordPiece ids as uncased BERT does (Devlin et al., 2018; `tokenization.py` of google-research/bert).

Written here, and held against the `tokenizers` library by tests, so that a requester can check the ids of its text
without running a stranger's file. The library's Unicode tables are older than Python's: a few hundred rare characters
are cut otherwise (503 of all code points, with tokenizers 0.23 and Python 3.11).
"""

import unicodedata
from collections.abc import Iterator, Mapping

_LONGEST_WORD = 100
"""Characters; a longer word is unknown."""

_CJK = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip
"""Each of these is a word of its own. The library's ranges; BERT's own begin one of them at 0x2B820."""


def cut(text: str, vocabulary: Mapping[str, int], unknown: int | None) -> list[int]:
    """Ids of a text alone, `unknown` for each word that has none."""
    return [number for word in _words(text) for number in _pieces(word, vocabulary, unknown)]


def _words(text: str) -> list[str]:
    kept = "".join(_spaced(each) for each in text if not _is_control(each))
    plain = "".join(each for each in unicodedata.normalize("NFD", kept) if unicodedata.category(each) != "Mn")
    lower = "".join(each.lower() for each in plain)  # one by one: a whole text's last sigma would be another letter
    return "".join(f" {each} " if _is_punctuation(each) else each for each in lower).split()


def _pieces(word: str, vocabulary: Mapping[str, int], unknown: int | None) -> Iterator[int]:
    found, start = [], 0
    while start < len(word) <= _LONGEST_WORD:
        prefix = "##" if start else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in vocabulary)
        if (end := next(ends, None)) is None:
            break
        found.append(vocabulary[prefix + word[start:end]])
        start = end
    if start == len(word):
        yield from found
    elif unknown is not None:
        yield unknown


def _spaced(character: str) -> str:
    if character.isspace():
        return " "
    return f" {character} " if any(low <= ord(character) <= high for low, high in _CJK) else character


def _is_control(character: str) -> bool:
    is_other = character == "\ufffd" or unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs")
    return is_other and character not in "\t\n\r"


def _is_punctuation(character: str) -> bool:
    return character in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~" or unicodedata.category(character)[0] == "P"
