"""Files of models, spoilt somewhere in what is read before their numbers: drawn from a seed."""

import json
from copy import deepcopy
from random import Random
from typing import Any

_EDGES = [0, 1, 2, 7, 8, 9, 127, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**40, 2**63 - 1, 2**63, 2**64 - 1]
_VALUES: list[Any] = [
    *_EDGES, -1, 1.5, float("nan"), float("inf"), -0.0, 1e308, None, True, "", "F32", "F64", "I8", "BF16", "\x00",
    "x" * 5000, [], {}, [[]], [0, 0], [2**32, 2**32], [-1, 4], {"a": {"b": []}},
]  # fmt: skip


def safetensors(draw: Random, good: bytes) -> bytes:
    """8 bytes of length, a header of JSON, the numbers."""
    length = int.from_bytes(good[:8], "little")
    header, numbers = json.loads(good[8 : 8 + length]), good[8 + length :]
    match draw.randrange(6):
        case 0:
            return draw.choice(_EDGES).to_bytes(8, "little") + good[8:]
        case 1:
            return in_bytes(draw, good, 8 + length)
        case 2:
            numbers = numbers[: draw.randrange(len(numbers))] + draw.randbytes(draw.choice([0, 0, 1, 8]))
        case 3:
            text = nested(draw)
            return len(text).to_bytes(8, "little") + text + numbers
        case _:
            header = in_tree(draw, header)
    text = json.dumps(header, separators=(",", ":")).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def gguf(draw: Random, good: bytes) -> bytes:
    """Magic, version, counts, fields and tensors' places, all of them before the numbers: spoilt in place."""
    data, header = bytearray(good), min(len(good), 24 if draw.random() < 0.3 else len(good) - len(good) // 3)
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(4, header)
        size = draw.choice([1, 4, 8])
        data[place : place + size] = (draw.choice(_EDGES) & 256**size - 1).to_bytes(size, "little")
    return bytes(data[: draw.choice([len(data), len(data), draw.randrange(len(data))])])


def in_json(draw: Random, good: bytes) -> bytes:
    """tokenizer.json, config.json and manifests."""
    match draw.randrange(4):
        case 0:
            return in_bytes(draw, good, len(good))
        case 1:
            return nested(draw)
        case _:
            return json.dumps(in_tree(draw, json.loads(good))).encode("utf-8", "surrogatepass")


def in_tree(draw: Random, tree: Any) -> Any:
    """A value put in the place of another, or a key taken out, renamed or added: once or twice."""
    for _ in range(draw.randrange(1, 3)):
        places: list[tuple[Any, Any]] = []
        _walk(tree, places)
        if not places:
            return tree
        holder, key = draw.choice(places[: draw.choice([20, len(places)])])
        match draw.randrange(5):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[draw.choice(["", "x", "__metadata__", "weight", "\ud800", str(key) * 3])] = holder.pop(key)
            case _:
                holder[key] = deepcopy(draw.choice(_VALUES))
    return tree


def in_bytes(draw: Random, good: bytes, most: int) -> bytes:
    """Bytes replaced, put in or taken out, before `most`."""
    data = bytearray(good)
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(min(most, len(data)))
        taken, put = draw.choice([(1, 1), (0, 3), (3, 0)])
        data[place : place + taken] = draw.randbytes(put)
        data = data or bytearray(b"{")
    return bytes(data)


def nested(draw: Random) -> bytes:
    depth = draw.choice([10, 300, 3000, 50_000])
    return draw.choice([b"[", b'{"a":', b'{"model":{"vocab":', b'{"__metadata__":']) * depth


def _walk(tree: Any, places: list[tuple[Any, Any]]) -> None:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []
    for key in keys:
        places.append((tree, key))
        _walk(tree[key], places)
