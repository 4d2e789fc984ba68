"""What a confined process that was taken over may write: frames that are nearly right, drawn from a seed."""

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from contracts.protocol.packed import pack
from node_agent.execution.sandbox.frames import _HEADER as HEADER

CALL = 0x4143414341434143
"""The number of the call that the frames answer: to be replaced by the real one."""

RAN, PROBLEM = 3, 5

_NUMBERS = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-0",
    "1.0",
    "1e0",
    "-1",
    "0",
    "4294967295",
    "4294967296",
    "9" * 5000,
]
_TEXTS = ['""', '"\\ud800"', '"\\u0000"', '"\\n"', '"\\u001b[2J"', '"AA=="', '"AA"', '"=="', '"%s"' % ("x" * 100_000)]
_VALUES = [*_NUMBERS, *_TEXTS, "null", "true", "[]", "{}", "[[]]", '{"a":{"b":{}}}', "", "'x'", "[1,]", "// c"]


def payload(draw: Random) -> tuple[int, str]:
    """A kind and what it says, as a process that is well would say it."""
    if draw.random() < 0.25:
        return PROBLEM, _json({"code": "invalid_input", "message": "m", "way_out": "w", "values": {"name": "'x'"}})
    trace = draw.randbytes(draw.randrange(40))
    words = pack([[draw.randrange(2**32) for _ in range(draw.randrange(5))] for _ in range(draw.randrange(3))])
    output = words if draw.random() < 0.8 else draw.randbytes(draw.randrange(40))
    run = {"output": _base64(output), "trace_hash": _base64(hashlib.sha256(trace).digest())}
    return RAN, _json({"execution": {**run, "units": draw.randrange(2**32), "trace": _base64(trace)}})


def frame(draw: Random) -> bytes:
    """One frame that is spoilt somewhere: in its stream, its header, its bytes, its text or its tree."""
    kind, text = payload(draw)
    data = draw.choice(_SPOILERS)(draw, text)
    data = data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass")
    call, length = CALL, len(data)
    match draw.randrange(12):
        case 0:
            kind = draw.randrange(256)
        case 1:
            call = draw.choice([0, CALL ^ 1 << draw.randrange(64), 2**64 - 1])
        case 2:
            length = draw.choice([0, length + 1, max(0, length - 1), 1 << draw.randrange(32), 2**32 - 1])
        case 3:
            kind = draw.choice([1, 2, 3, 4, 5, 16, 17, 18, 19])
    whole = HEADER.pack(kind, call, length) + data
    match draw.randrange(12):
        case 0:
            return whole[: draw.randrange(len(whole))]
        case 1:
            return draw.randbytes(draw.randrange(1, 40)) + whole
        case 2:
            return whole + whole
    return whole


def pieces(draw: Random, stream: bytes) -> Iterator[bytes]:
    """A stream as pipes cut it: anywhere."""
    while stream:
        size = draw.choice([1, 13, draw.randrange(1, 200), len(stream)])
        yield stream[:size]
        stream = stream[size:]


def _in_bytes(draw: Random, text: str) -> bytes:
    data = bytearray(text.encode())
    for _ in range(draw.randrange(1, 4)):
        place = draw.randrange(len(data))
        match draw.randrange(3):
            case 0:
                data[place] = draw.randrange(256)
            case 1:
                data[place:place] = draw.randbytes(draw.randrange(1, 5))
            case 2:
                del data[place : place + draw.randrange(1, 5)]
        data = data or bytearray(b"0")
    return bytes(data)


def _in_value(draw: Random, text: str) -> str:
    """Puts another value in the place of one."""
    return _put(draw, text, draw.choice(_VALUES))


def _nested(draw: Random, text: str) -> str:
    depth = draw.choice([2, 100, 250, 2000, 100_000])
    opening, closing = draw.choice([("[", "]"), ('{"execution":', "}"), ('{"a":[', "]}")])
    return _put(draw, text, opening * depth + draw.choice([closing * depth, ""]))


def _put(draw: Random, text: str, value: str) -> str:
    mark, places = "\0mark\0", []
    _walk(json.loads(text), lambda holder, key: places.append((holder, key)))
    holder, key = draw.choice(places)
    tree, holder[key] = places[0][0], mark
    return _json(tree).replace(json.dumps(mark), value)


def _in_keys(draw: Random, text: str) -> str:
    """A key twice, too many, missing, in another order, or of another name."""
    tree = json.loads(text)
    holders: list[dict[str, Any]] = [tree]
    _walk(tree, lambda holder, key: holders.append(holder[key]) if isinstance(holder[key], dict) else None)
    holder = draw.choice([each for each in holders if each] or [tree])
    key = draw.choice(list(holder))
    value = holder.pop(key)
    match draw.randrange(5):
        case 0:
            return _json(tree)
        case 1:
            holder[key] = value
            return _json(tree).replace(_json(key) + ":", f"{_json(key)}:{draw.choice(_VALUES)},{_json(key)}:", 1)
        case 2:
            holder[key] = value  # the last now
        case 3:
            holder[draw.choice(["__class__", "self", "cls", "message", "", key + "x", "\n", "x" * 10_000])] = value
        case 4:
            holder |= {key: value, draw.choice(["more", "__proto__", key.upper()]): value}
    return _json(tree)


def _in_spelling(draw: Random, text: str) -> str:
    """The same value, written otherwise."""
    place = draw.randrange(len(text) + 1)
    again = [
        text[:place] + draw.choice([" ", "\n", "\t", "\ufeff"]) + text[place:],
        text.replace("e", "\\u0065", 1),
        json.dumps(json.loads(text)),
        text + text,
        text.replace("=", "", 1),
        text.replace("_", "/").replace("-", "+"),
    ]
    return draw.choice(again)


def _as_it_is(draw: Random, text: str) -> str:
    return text


_SPOILERS: list[Callable[[Random, str], bytes | str]] = [
    *(_in_bytes, _in_value, _in_value, _nested, _in_keys, _in_keys, _in_spelling, _as_it_is),
]


def _walk(tree: Any, visit: Callable[[Any, Any], object]) -> None:
    for key in list(tree) if isinstance(tree, dict) else []:
        visit(tree, key)
        _walk(tree[key], visit)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode()
