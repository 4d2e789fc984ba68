"""Packed lists of 32-bit words: the token ids that an order binds, and the ids or vectors that answer it (SPEC 3).

Bytes, all numbers big-endian: uint32 number of lists | for each list uint32 number of words | the words of all lists in
order, 4 bytes each: ids as uint32, vectors as two's complement.

Root, by keccak256; the first byte says what is hashed, so that nothing passes for something else:

    block = H(0 | up to 64 words)           of one list, the last block may be shorter
    node  = H(1 | up to 64 digests)         level by level until one digest is left
    list  = H(2 | uint32 count | that digest, 32 zero bytes for an empty list)
    root  = H(3 | uint32 count | the lists' digests under nodes, likewise)

Wherever bytes are named by a hash, packed bytes are named by their root.
"""

from collections.abc import Iterable, Sequence
from struct import Struct
from struct import error as StructError

from contracts.protocol.errors import NotPacked
from contracts.protocol.hashing import ZERO32, keccak, to_hex

FANOUT = 64
WORD_BYTES = 4
_BLOCK_BYTES = FANOUT * WORD_BYTES
_DIGEST_BYTES = 32
_COUNT = Struct(">I")
_BLOCK, _NODE, _LIST, _ROOT = b"\0", b"\1", b"\2", b"\3"
_SIGN, _MODULUS = 1 << 31, 1 << 32

Lists = Sequence[Sequence[int]]


def pack(lists: Lists) -> bytes:
    """The packed bytes of lists of words: integers from -2^31 to 2^32 - 1. Raises NotPacked for others."""
    counts = [len(words) for words in lists]
    flat = [word + _MODULUS if -_SIGN <= word < 0 else word for words in lists for word in words]
    try:
        return Struct(f">{1 + len(counts) + len(flat)}I").pack(len(counts), *counts, *flat)
    except StructError as error:
        raise NotPacked(f"holds a word beyond 32 bits: {error}") from error


def unpack(data: bytes) -> list[list[int]]:
    """The lists in packed bytes, words as uint32. Raises NotPacked for bytes that `pack` does not write."""
    body = split(data)
    return [list(Struct(f">{len(words) // WORD_BYTES}I").unpack(words)) for words in body]


def unpack_signed(data: bytes) -> list[list[int]]:
    """The lists in packed bytes, words as int32. Raises NotPacked."""
    return [list(Struct(f">{len(words) // WORD_BYTES}i").unpack(words)) for words in split(data)]


def split(data: bytes) -> list[bytes]:
    """The bytes of each list's words. Raises NotPacked; takes no more memory than the bytes themselves."""
    if len(data) < WORD_BYTES:
        raise NotPacked(f"has {len(data)} bytes, and begins with a count of 4")
    (lists,) = _COUNT.unpack_from(data)
    start = WORD_BYTES * (1 + lists)
    if start > len(data):
        raise NotPacked(f"says that it has {lists} lists, and has {len(data)} bytes")
    counts = Struct(f">{lists}I").unpack_from(data, WORD_BYTES)
    if start + WORD_BYTES * sum(counts) != len(data):
        raise NotPacked(f"says that its lists have {sum(counts)} words, and has {len(data)} bytes")
    found = []
    for count in counts:
        found.append(data[start : start + WORD_BYTES * count])
        start += WORD_BYTES * count
    return found


def counts(data: bytes) -> list[int]:
    """The number of words of each list. Raises NotPacked."""
    return [len(words) // WORD_BYTES for words in split(data)]


def is_named(data: bytes, name: str) -> bool:
    """Whether 0x hex `name` is the bytes' keccak256, or the root of packed words."""
    if to_hex(keccak(data)) == name:
        return True
    try:
        return to_hex(packed_root(data)) == name
    except NotPacked:
        return False


def packed_root(data: bytes) -> bytes:
    """The root of packed bytes, 32 bytes. Raises NotPacked."""
    return root_of(list_root(words) for words in split(data))


def list_root(words: bytes) -> bytes:
    """The digest of one list, given the bytes of its words."""
    blocks = [keccak(_BLOCK + words[start : start + _BLOCK_BYTES]) for start in range(0, len(words), _BLOCK_BYTES)]
    return keccak(_LIST + _COUNT.pack(len(words) // WORD_BYTES) + _top(blocks))


def root_of(lists: Iterable[bytes]) -> bytes:
    """The root over lists with these digests."""
    digests = list(lists)
    return keccak(_ROOT + _COUNT.pack(len(digests)) + _top(digests))


def _top(level: list[bytes]) -> bytes:
    if not level:
        return ZERO32
    while len(level) > 1:
        level = [keccak(_NODE + b"".join(level[start : start + FANOUT])) for start in range(0, len(level), FANOUT)]
    return level[0]
