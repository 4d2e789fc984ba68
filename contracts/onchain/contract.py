"""A contract's functions and events by its ABI: calldata, answers and logs, encoded and decoded with eth_abi.

Arguments may be bytes or 0x hex of the right size, addresses in any spelling, structs as tuples or mappings. Results
are int, bool, str, bytes, checksummed addresses, lists, and named tuples for structs.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError
from eth_utils.address import is_hex_address, to_checksum_address

from contracts.onchain.errors import BadArguments, UnknownCall, WrongReply
from contracts.protocol.hashing import from_hex, keccak, to_hex

if TYPE_CHECKING:
    from contracts.onchain.eth import At, Eth, Record

Item = Mapping[str, Any]
"""An entry of an ABI, or one of its parameters."""
Spelling = Callable[[str], str]
"""Of addresses."""


class Contract:
    """A contract at an address. `functions.NAME(arguments)` makes a call to ask, estimate or send."""

    def __init__(self, eth: "Eth", address: str, abi: Sequence[Item]) -> None:
        self.eth, self.address, self.abi = eth, address, abi
        self.functions = Functions(self)

    def encode_abi(self, name: str, arguments: Sequence[Any]) -> str:
        """The calldata of a function, 0x hex."""
        return self.functions[name](*arguments).data

    def decode_function_input(self, calldata: bytes) -> tuple[str, dict[str, Any]]:
        """Name and arguments of a call. Raises UnknownCall for bytes that do not call this contract."""
        for item in self.abi:
            if item["type"] == "function" and selector(item) == calldata[:4]:
                try:
                    return str(item["name"]), named(item["inputs"], calldata[4:])
                except DecodingError as error:
                    raise UnknownCall(self.address, calldata[:4]) from error
        raise UnknownCall(self.address, calldata[:4])


class Functions:
    """A contract's functions, by attribute or by key."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._items = {str(item["name"]): item for item in contract.abi if item["type"] == "function"}

    def __getitem__(self, name: str) -> "Callable[..., ContractCall]":
        item = self._items[name]
        return lambda *arguments: ContractCall(self._contract, item, arguments)

    def __getattr__(self, name: str) -> "Callable[..., ContractCall]":
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the contract has no function {name}") from None


class ContractCall:
    """A function with its arguments. `data`: the calldata, 0x hex. Raises BadArguments for those that do not fit."""

    def __init__(self, contract: Contract, item: Item, arguments: Sequence[Any]) -> None:
        self.abi, self.address, self.name = item, contract.address, str(item["name"])
        self._eth = contract.eth
        self.data = to_hex(selector(item) + encoded(item["inputs"], arguments, self.name))

    def call(self, transaction: Mapping[str, Any] | None = None, block_identifier: "At" = "latest") -> Any:
        """The result: one value, or a named tuple. Raises Reverted, and WrongReply for bytes that do not decode."""
        reply = self._eth.call(self._fields(transaction), block_identifier)
        outputs = self.abi["outputs"]
        try:
            found = [plain(part, value) for part, value in zip(outputs, _decoded(outputs, reply), strict=True)]
        except DecodingError as error:
            what = f"{len(reply)} bytes that are no result of {self.name}"
            raise WrongReply(self._eth.endpoint, f"{self.address} answers with {what}") from error
        return found[0] if len(found) == 1 else _struct(tuple(part["name"] for part in outputs))(*found)

    def estimate_gas(self, transaction: Mapping[str, Any] | None = None) -> int:
        """The gas that the call would take now. Raises Reverted."""
        return self._eth.estimate_gas(self._fields(transaction))

    def _fields(self, transaction: Mapping[str, Any] | None) -> dict[str, Any]:
        return {**(transaction or {}), "to": self.address, "data": self.data}


# ---------------------------------------------------------------- types


def kind(part: Item) -> str:
    """A parameter's canonical type, with tuples written out."""
    declared = str(part["type"])
    if not declared.startswith("tuple"):
        return declared
    return "(" + ",".join(map(kind, part["components"])) + ")" + declared[len("tuple") :]


def signature(item: Item) -> str:
    """E.g. "claim(uint32)"."""
    return f"{item['name']}({','.join(map(kind, item['inputs']))})"


def selector(item: Item) -> bytes:
    """The first four bytes of a call, or of an error's data."""
    return _hashed(signature(item))[:4]


def topic(item: Item) -> bytes:
    """The first topic of an event's logs."""
    return _hashed(signature(item))


@cache
def _hashed(text: str) -> bytes:
    return keccak(text.encode())


def _element(part: Item) -> Item | None:
    """An array's element type; None for another type."""
    declared = str(part["type"])
    return {**part, "type": declared[: declared.rindex("[")]} if declared.endswith("]") else None


# ---------------------------------------------------------------- encoding


def encoded(parts: Sequence[Item], arguments: Sequence[Any], name: str) -> bytes:
    """ABI-encoded arguments. Raises BadArguments, which names the function `name`."""
    try:
        if len(parts) != len(arguments):
            raise ValueError(f"takes {len(parts)} arguments, not {len(arguments)}")
        values = [_given(part, value) for part, value in zip(parts, arguments, strict=True)]
        return encode([kind(part) for part in parts], values)
    except (EncodingError, TypeError, ValueError, KeyError) as error:
        raise BadArguments(name, str(error)) from error


def _given(part: Item, value: Any) -> Any:
    """A value for eth_abi, which would silently pad one that is too short."""
    declared, element = str(part["type"]), _element(part)
    if element is not None:
        return [_given(element, each) for each in value]
    if declared == "tuple":
        components = part["components"]
        values = [value[each["name"]] for each in components] if isinstance(value, Mapping) else list(value)
        return tuple(_given(each, one) for each, one in zip(components, values, strict=True))
    if declared == "address" and not _is_address(value):
        raise ValueError(f"{value!r} is no address")
    if declared.startswith("bytes"):
        raw = from_hex(value) if isinstance(value, str) else bytes(value)
        if declared != "bytes" and len(raw) != int(declared[len("bytes") :]):
            raise ValueError(f"{declared} has {len(raw)} bytes")
        return raw
    return value


def _is_address(value: Any) -> bool:
    """Mixed case is a checksum, which must be right."""
    if not is_hex_address(value):
        return False
    return str(value)[2:] in (value[2:].lower(), value[2:].upper()) or value == to_checksum_address(value)


# ---------------------------------------------------------------- decoding


def named(parts: Sequence[Item], raw: bytes, spelt: Spelling = to_checksum_address) -> dict[str, Any]:
    """Values by their parameters' names. Raises DecodingError."""
    return {part["name"]: plain(part, value, spelt) for part, value in zip(parts, _decoded(parts, raw), strict=True)}


def event_values(item: Item, log: "Record") -> dict[str, Any]:
    """An event's values by name. Addresses are in lower case. Raises DecodingError.

    Indexed values of dynamic types are only logged as their hash.
    """
    indexed = [part for part in item["inputs"] if part["indexed"]]
    if len(log["topics"]) != len(indexed) + 1:
        raise DecodingError(f"{item['name']} has {len(indexed)} indexed values, the log {len(log['topics']) - 1}")
    words = [_hash_or_self(part) for part in indexed]
    values = named(words, b"".join(log["topics"][1:]), str)
    return values | named([part for part in item["inputs"] if not part["indexed"]], log["data"], str)


def _hash_or_self(part: Item) -> Item:
    declared = str(part["type"])
    long = declared in ("string", "bytes") or declared.endswith("]") or declared.startswith("tuple")
    return {**part, "type": "bytes32"} if long else part


def _decoded(parts: Sequence[Item], raw: bytes) -> tuple[Any, ...]:
    return tuple(decode([kind(part) for part in parts], raw)) if parts else ()


def plain(part: Item, value: Any, spelt: Spelling = to_checksum_address) -> Any:
    """A value from eth_abi, with addresses spelt by `spelt` and structs as named tuples."""
    element = _element(part)
    if element is not None:
        return [plain(element, each, spelt) for each in value]
    if part["type"] == "tuple":
        components = part["components"]
        values = [plain(each, one, spelt) for each, one in zip(components, value, strict=True)]
        return _struct(tuple(each["name"] for each in components))(*values)
    return spelt(value) if part["type"] == "address" else value


@cache
def _struct(names: tuple[str, ...]) -> Any:
    return namedtuple("Struct", names, rename=True)
