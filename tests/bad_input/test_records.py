"""Property tests of the strict records: whatever JSON holds, a record takes exactly what the agreement says.

Each property holds for the records as the backend reads them (parsed JSON) and as files are read (JSON text).
"""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from backend.api import examples
from backend.api.strict_json import strict_loads
from contracts.protocol.errors import BadSignature
from contracts.protocol.records import Address, Bytes32, Order, Params, Record, Signature, Uint32, Uint40, Units64
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import Domain
from contracts.protocol.wire import (
    MOST_LEASES,
    CanaryRequest,
    Heartbeat,
    LeaseRequest,
    SubmitCommitment,
    SubmitOrder,
    SubmitVerdict,
)

MANY = settings(max_examples=200)
RECORDS: dict[type[Record], Any] = {
    SubmitOrder: examples.SUBMIT_ORDER,
    SubmitCommitment: examples.SUBMIT_COMMITMENT,
    SubmitVerdict: examples.SUBMIT_VERDICT,
    LeaseRequest: examples.LEASE_REQUEST,
    Heartbeat: examples.HEARTBEAT,
    CanaryRequest: examples.CANARY_REQUEST,
}
DEFAULTED = {"comparator", "copies", "visibility", "params", *Params.model_fields}
"""Fields with the defaults that the agreement gives them."""
NUMBERS = {Units64: 2**64 - 1, Uint40: 2**40 - 1, Uint32: 2**32 - 1}
HEX = {Bytes32: 64, Address: 40, Signature: 130}
_SCALARS = st.none() | st.booleans() | st.floats() | st.text(max_size=80) | st.integers(-(2**256), 2**256)
ANYTHING = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


def example(kind: type[Record]) -> Any:
    """A valid body."""
    return json.loads(json.dumps(RECORDS[kind]["example"]["value"]))


def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all fields in an object."""
    found: list[tuple[str, ...]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            found += [(*path, key), *places(inner, (*path, key))]
    return found


def put(body: Any, path: tuple[str, ...], value: Any) -> Any:
    """The body with another value at a path."""
    target = body
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    return body


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def takes(kind: Any, value: Any) -> bool:
    """Whether a record takes a value, as JSON text and as parsed JSON alike; what it takes comes back unchanged."""
    adapter, text = _adapter(kind), json.dumps(value)
    answers = []
    for read in (lambda: adapter.validate_json(text), lambda: adapter.validate_python(json.loads(text))):
        try:
            answers.append(json.loads(adapter.dump_json(read())) == value)
        except ValidationError:
            answers.append(False)
    assert answers[0] == answers[1], (kind, value)
    return answers[0]


@pytest.mark.parametrize("kind", RECORDS)
def test_examples_are_taken(kind: type[Record]) -> None:
    """Protects these tests: what they start from is valid."""
    assert takes(kind, example(kind))


@pytest.mark.parametrize("kind", NUMBERS)
@given(data=st.data())
@MANY
def test_numbers(kind: Any, data: st.DataObject) -> None:
    """Protects signers: an integer within its bounds and nothing else, whatever looks like one."""
    most = NUMBERS[kind]
    near = st.sampled_from([-1, 0, 1, most - 1, most, most + 1, 2**63, 2**64, 2**256, -(2**256)])
    number = data.draw(near | st.integers(-(2**70), 2**70))
    assert takes(kind, number) == (0 <= number <= most)
    for disguised in (
        str(number),
        float(number),
        [number],
        {"value": number},
        hex(number),
        f" {number}",
        f"{number}.0",
    ):
        assert not takes(kind, disguised)
    assert not any(takes(kind, other) for other in (True, False, None, "", "١", "１"))
    for text in ("NaN", "Infinity", "-Infinity", "1e2", "1.0", "-0.0", "01", "0x1", "1_000", "+1", "--1", ""):
        with pytest.raises(ValidationError):
            _adapter(kind).validate_json(text)


@pytest.mark.parametrize("kind", HEX)
@given(data=st.data())
@MANY
def test_hex(kind: Any, data: st.DataObject) -> None:
    """Protects ids: lower-case ASCII hex of one length; look-alikes of other scripts and cases are not."""
    digits = HEX[kind]
    good = "0x" + data.draw(st.text("0123456789abcdef", min_size=digits, max_size=digits))
    assert takes(kind, good)
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from("АаЕеＯ０１２ａｂｃ٠١ΑAFG \n\0\u200b\u202e") | st.characters())
    swapped = good[:at] + other + good[at + 1 :]
    allowed = "0" if at == 0 else "x" if at == 1 else "0123456789abcdef"
    if "\ud800" <= other <= "\udfff":
        return  # no JSON text carries a lone surrogate
    assert takes(kind, swapped) == (other in allowed)
    for wrong in (good + other, other + good, good[:-1], good[2:], good + "\n", " " + good, good.replace("0x", "0X")):
        assert not takes(kind, wrong)
    assert takes(kind, good.upper()) is False


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
@MANY
def test_anything_in_any_place(kind: type[Record], data: st.DataObject) -> None:
    """Protects every endpoint: any value in any place is refused or kept as it was said. Never a crash."""
    body = example(kind)
    path = data.draw(st.sampled_from(places(body)))
    value = data.draw(ANYTHING)
    text = json.dumps(put(body, path, value))
    try:
        record = kind.model_validate(strict_loads(text.encode()))
    except (ValidationError, json.JSONDecodeError):
        return
    assert json.loads(record.model_dump_json(exclude_unset=True)) == json.loads(text), (
        "what is taken is kept as it was said"
    )


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
@settings(max_examples=100)
def test_fields_more_or_less(kind: type[Record], data: st.DataObject) -> None:
    """Protects signers: what is not signed is not taken along, and what must be said is not made up."""
    body = example(kind)
    inner = [()] + [path for path in places(body) if isinstance(_at(body, path), dict)]
    where = data.draw(st.sampled_from(inner))
    known = _at(body, where)
    name = data.draw(st.text(max_size=12).filter(lambda text: text not in known))
    assert not takes(kind, put(example(kind), (*where, name), data.draw(ANYTHING)))
    lost = data.draw(st.sampled_from(sorted(known)))
    shorter = example(kind)
    del _at(shorter, where)[lost]
    if lost not in DEFAULTED:
        assert not takes(kind, shorter)


def _at(body: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        body = body[part]
    return body


@given(count=st.integers(0, 2 * MOST_LEASES))
@MANY
def test_leases_named(count: int) -> None:
    """Protects the coordinator: a node names at most as many leases as it may hold beside the one it asks for."""
    named = [f"0x{number:064x}" for number in range(count)]
    assert takes(LeaseRequest, put(example(LeaseRequest), ("held",), named)) == (count < MOST_LEASES)
    assert not takes(LeaseRequest, put(example(LeaseRequest), ("held",), [*named[:3], "0xZ"]))


@pytest.mark.parametrize("kind", RECORDS)
@given(data=st.data())
@settings(max_examples=100)
def test_keys_that_stand_twice(kind: type[Record], data: st.DataObject) -> None:
    """Protects signers from two readers of one body: a key that occurs twice is refused, even with one value."""
    text = json.dumps(example(kind))
    path = data.draw(st.sampled_from(places(example(kind))))
    key = json.dumps(path[-1]) + ": "
    doubled = text.replace(key, key + data.draw(st.sampled_from(["0", "null", '"x"', "{}"])) + ", " + key)
    with pytest.raises(json.JSONDecodeError, match="occurs twice"):
        strict_loads(doubled.encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode) | ANYTHING.map(json.dumps).map(str.encode))
@settings(max_examples=500)
def test_any_bytes(data: bytes) -> None:
    """Protects the process: any bytes are a JSON value or a JSONDecodeError, and nothing else."""
    try:
        value = strict_loads(data)
    except json.JSONDecodeError:
        return
    json.dumps(value)


@given(st.integers(0, 100_000), st.sampled_from(["[", '{"a":', "[[{"]))
@settings(max_examples=60)
def test_any_depth(depth: int, opening: str) -> None:
    """Protects the process's stack: depth is bounded before a parser goes down."""
    closing = "".join({"[": "]", "{": "}"}[c] for c in reversed(opening) if c in "[{")
    data = (opening * depth + "1" + closing * depth).encode()
    try:
        strict_loads(data)
    except json.JSONDecodeError:
        return
    assert depth * (opening.count("[") + opening.count("{")) <= 64


@given(st.binary(min_size=65, max_size=65))
@settings(max_examples=300)
def test_any_signature(raw: bytes) -> None:
    """Protects from forged senders: any 65 bytes are somebody's signature or none, never address zero's. Covers: A21"""
    order = Order.model_validate(example(SubmitOrder)["order"])
    try:
        signer = recover(Domain(31337, "0x" + "e5" * 20).order_id(order), "0x" + raw.hex())
    except BadSignature:
        return
    assert int(signer, 16) != 0
