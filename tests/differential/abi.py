"""Calls, answers, errors and events as the chain spells them, from the committed ABIs."""

import re
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any

from eth_abi.abi import encode

from contracts.model.base import Event, Refused
from contracts.model.proofs import LeafProof, Outcomes
from contracts.onchain.artifacts import artifact
from contracts.onchain.structs import commitment_tuple, order_tuple
from contracts.protocol.hashing import keccak
from contracts.protocol.packing import CapProof
from contracts.protocol.records import Commitment, Order
from tests.differential.chains import Log

CONTRACTS = {
    "token": "DevToken",
    "stakes": "StakeManager",
    "escrow": "JobEscrow",
    "court": "SlashingCourt",
    "contests": "Contests",
    "wallet": "DevWallet",
}
_MODEL_NAMES = {"contestStatus": "status", "caseIdOf": "case_id"}


class Vrs(bytes):
    """A 65-byte signature that the contract takes in three parts."""


@dataclass(frozen=True)
class Function:
    """How one function is called and what it answers."""

    selector: bytes
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_view: bool
    model_name: str


@cache
def functions(contract: str) -> dict[str, Function]:
    """All functions of a contract by name."""
    found = {}
    for item in artifact(CONTRACTS[contract]).abi:
        if item["type"] == "function":
            name, inputs = item["name"], tuple(map(_type, item["inputs"]))
            found[name] = Function(
                selector=keccak(f"{name}({','.join(inputs)})".encode())[:4],
                inputs=inputs,
                outputs=tuple(map(_type, item["outputs"])),
                is_view=item["stateMutability"] in ("view", "pure"),
                model_name=_MODEL_NAMES.get(name, re.sub(r"([A-Z])", lambda m: "_" + m[1].lower(), name)),
            )
    return found


def calldata(contract: str, name: str, arguments: tuple[Any, ...]) -> bytes:
    """Selector and arguments."""
    function = functions(contract)[name]
    flat: list[Any] = []
    for argument in arguments:
        is_split = isinstance(argument, Vrs)
        flat += [argument[64], argument[:32], argument[32:64]] if is_split else [to_abi(argument)]
    return function.selector + encode(function.inputs, flat)


def to_abi(value: Any) -> Any:
    """A value of the model's as eth-abi takes it."""
    if isinstance(value, LeafProof | Outcomes | CapProof):
        return tuple(to_abi(getattr(value, item.name)) for item in fields(value))
    if isinstance(value, Order):
        return order_tuple(value)
    if isinstance(value, Commitment):
        return commitment_tuple(value)
    if isinstance(value, tuple | list):
        return [to_abi(item) for item in value]
    return value


@lru_cache(200_000)
def answer(contract: str, name: str, values: tuple[Any, ...]) -> bytes:
    """What a function returns, encoded. A struct's fields are given one by one."""
    outputs = functions(contract)[name].outputs
    if len(outputs) == 1 and outputs[0].startswith("(") and not outputs[0].endswith("[]"):
        return encode(outputs, [values])
    return encode(outputs, values)


@cache
def errors() -> dict[str, tuple[bytes, tuple[str, ...]]]:
    """Selector and types of every error of every contract, by name."""
    found: dict[str, tuple[bytes, tuple[str, ...]]] = {"Panic": (keccak(b"Panic(uint256)")[:4], ("uint256",))}
    for name in CONTRACTS.values():
        for item in artifact(name).abi:
            if item["type"] == "error":
                types = tuple(map(_type, item["inputs"]))
                found[item["name"]] = keccak(f"{item['name']}({','.join(types)})".encode())[:4], types
    return found


def revert_data(refused: Refused) -> bytes:
    """What a refused call returns."""
    selector, types = errors()[refused.name]
    return selector + encode(types, refused.values)


def error_name(data: bytes) -> str:
    """The error behind revert data."""
    return next((name for name, (selector, _) in errors().items() if selector == data[:4]), f"unknown 0x{data.hex()}")


@cache
def _events() -> dict[str, tuple[bytes, list[tuple[str, bool]]]]:
    found = {}
    for name in CONTRACTS.values():
        for item in artifact(name).abi:
            if item["type"] == "event":
                types = [(_type(argument), bool(argument["indexed"])) for argument in item["inputs"]]
                signature = f"{item['name']}({','.join(kind for kind, _ in types)})"
                found[item["name"]] = keccak(signature.encode()), types
    return found


def log_of(event: Event) -> Log:
    """An event of the model's as the chain logs it."""
    topic, types = _events()[event.name]
    given = list(zip(types, event.values, strict=True))
    topics = [encode([kind], [value]) for (kind, indexed), value in given if indexed]
    payload = [(kind, value) for (kind, indexed), value in given if not indexed]
    return event.address, (topic, *topics), encode([kind for kind, _ in payload], [value for _, value in payload])


def _type(argument: dict[str, Any]) -> str:
    """The canonical ABI type, tuples spelt out."""
    kind: str = argument["type"]
    if kind.startswith("tuple"):
        return "(" + ",".join(map(_type, argument["components"])) + ")" + kind[len("tuple") :]
    return kind
