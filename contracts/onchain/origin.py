"""The addresses and the code of a network's contracts, computed from its configuration and this build alone.

The four contracts and their governor name each other in immutables, so plain CREATE2 cannot create them: each address
would depend on code that holds the others. `Origin.sol` breaks the circle. Its own address is CREATE2's over a hash of
all parts without their siblings' addresses; the parts' addresses follow from Origin's and their number alone (CREATE3).
So a configuration has the same addresses on every chain, whoever pays, and only the planned code can be there
(deploy/docs/adr/0004-addresses-before-contracts.md). Reads no chain.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eth_abi.abi import encode
from eth_utils.address import to_checksum_address

from contracts.onchain.artifacts import artifact
from contracts.protocol.constants import Constants
from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.records import Address, Bytes32, Record
from contracts.protocol.typed_data import NAME, VERSION, Domain

ANYONE = "0x0000000000000000000000000000000000000000"
"""As the governor's executor: anyone may execute after the wait, nobody may skip it. As its admin: nobody."""
SINK = "0x000000000000000000000000000000000000dEaD"
"""Gets the part of a slash that is owed to nobody, so that nobody who decides gains by it."""

FACTORY = "0x4e59b44847b379578588920cA78FbF26c0B4956C"
"""The deterministic deployment proxy (github.com/Arachnid/deterministic-deployment-proxy): CREATE2 for everybody."""
FACTORY_RUNTIME = from_hex(
    "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd"
    "5b8082525050506014600cf3"
)
ORIGIN, GOVERNOR = "Origin", "TimelockController"
PARTS = (GOVERNOR, "StakeManager", "JobEscrow", "SlashingCourt", "Contests")
"""In the order of creation: the constructors of court and contests read from the others."""
_SIBLINGS = {"governor": 1, "stakeManager": 2, "escrow": 3, "court": 4, "contests": 5}
"""The number of the part that a constructor argument names."""
_PROXY_INITCODE_HASH = from_hex("0x57a34f6e879358dd76825d6700df87013ad6a3fb43c0d0c602f70a8772c153bd")
"""Of the proxy in OpenZeppelin's Create3, which creates one part."""
_PART_TYPE = "(bytes,bytes32[],uint8[])"


class NetworkConfig(Record):
    """All decisions that define a network. The same configuration always gives the same network.

    `beacon_anchor`: the beacon's first tip. `proposers` may propose to the governor and cancel; `executors` may execute
    after the wait, anyone if there is none. `salt` distinguishes networks that are otherwise the same.
    """

    token: Address
    settler: Address
    treasury: Address
    guardian: Address
    beacon_anchor: Bytes32
    proposers: tuple[Address, ...]
    executors: tuple[Address, ...] = ()
    constants: Constants
    salt: Bytes32 = "0x" + "00" * 32


@dataclass(frozen=True)
class Part:
    """A planned contract: creation code, argument words, and which words are siblings' addresses (0: none)."""

    name: str
    code: bytes
    words: tuple[bytes, ...]
    siblings: tuple[int, ...]

    @property
    def fields(self) -> tuple[bytes, Sequence[bytes], Sequence[int]]:
        """`Origin.Part`."""
        return self.code, self.words, self.siblings

    @cached_property
    def hash(self) -> bytes:
        return keccak(encode([_PART_TYPE], [self.fields]))


class DeploymentPlan:
    """A configuration with this build's code: addresses and code of Origin and the parts, by contract name."""

    def __init__(self, config: NetworkConfig) -> None:
        self.config = config
        values = _values(config)
        self.parts = tuple(_part(name, values) for name in PARTS)
        self.hashes = tuple(part.hash for part in self.parts)
        self.hash = keccak(encode(["bytes32[]"], [self.hashes]))
        self.origin_code = from_hex(artifact(ORIGIN).bytecode) + self.hash
        origin = create2(FACTORY, from_hex(config.salt), keccak(self.origin_code))
        self.addresses = {ORIGIN: origin} | {
            name: create3(origin, number.to_bytes(32, "big")) for number, name in enumerate(PARTS, 1)
        }
        self._values = values | {field: self.addresses[PARTS[number - 1]] for field, number in _SIBLINGS.items()}
        self._values["plan"] = self.hash

    @property
    def origin_call(self) -> bytes:
        """The calldata with which the factory creates Origin."""
        return from_hex(self.config.salt) + self.origin_code

    def immutables(self, name: str, chain_id: int) -> dict[str, bytes]:
        """The value of each immutable of a contract, 32 bytes."""
        domain = Domain(chain_id, self.addresses[name])
        signing = {
            "_cachedDomainSeparator": domain.separator,
            "_cachedChainId": chain_id,
            "_cachedThis": self.addresses[name],
            "_hashedName": keccak(NAME.encode()),
            "_hashedVersion": keccak(VERSION.encode()),
            "_name": _short_string(NAME),
            "_version": _short_string(VERSION),
            "SEPARATOR": Domain(chain_id, self.addresses["JobEscrow"]).separator,
            "CHAIN_ID": chain_id,
        }
        return {
            immutable: word(signing[immutable] if immutable in signing else self._values[_camel(immutable)])
            for immutable in artifact(name).immutables
        }

    def runtime(self, name: str, chain_id: int) -> bytes:
        """The code that must be at a contract's address, with its immutables filled in."""
        code = bytearray(artifact(name).runtime)
        for immutable, value in self.immutables(name, chain_id).items():
            for place in artifact(name).immutables[immutable]:
                code[place : place + 32] = value
        return bytes(code)


def create2(creator: str, salt: bytes, init_code_hash: bytes) -> str:
    """The address by CREATE2 (EIP-1014)."""
    return to_hex(keccak(b"\xff" + from_hex(creator) + salt + init_code_hash)[12:])


def create3(creator: str, salt: bytes) -> str:
    """The address of the first contract that `creator`'s proxy creates (OpenZeppelin's Create3)."""
    proxy = create2(creator, salt, _PROXY_INITCODE_HASH)
    return to_hex(keccak(b"\xd6\x94" + from_hex(proxy) + b"\x01")[12:])


def word(value: object) -> bytes:
    """An address, a number or 32 bytes as an EVM word."""
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    raw = from_hex(value) if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]
    return bytes(raw.rjust(32, b"\0"))


def _part(name: str, values: Mapping[str, object]) -> Part:
    code = from_hex(artifact(name).bytecode)
    if name == GOVERNOR:
        fixed = encode(
            ["uint256", "address[]", "address[]", "address"],
            [values["timelock"], values["proposers"], values["executors"], ANYONE],
        )
        words = tuple(fixed[i : i + 32] for i in range(0, len(fixed), 32))
        return Part(name, code, words, (0,) * len(words))
    fields = [field["name"] for field in _constructor_struct(name)]
    siblings = tuple(_SIBLINGS.get(field, 0) for field in fields)
    return Part(
        name, code, tuple(bytes(32) if field in _SIBLINGS else word(values[field]) for field in fields), siblings
    )


def _constructor_struct(name: str) -> list[dict[str, Any]]:
    """The fields of the constructor's one struct, all of them one word."""
    constructor = next(item for item in artifact(name).abi if item["type"] == "constructor")
    fields: list[dict[str, Any]] = constructor["inputs"][0]["components"]
    return fields


def _values(config: NetworkConfig) -> dict[str, object]:
    """Constructor arguments by their names in Solidity, without siblings' addresses."""
    constants = {_camel(getter_of(name)): value for name, value in config.constants}
    return constants | {
        "token": config.token,
        "settler": config.settler,
        "treasury": config.treasury,
        "guardian": config.guardian,
        "tip": config.beacon_anchor,
        "sink": SINK,
        "proposers": [to_checksum_address(address) for address in config.proposers],
        "executors": [to_checksum_address(address) for address in config.executors or (ANYONE,)],
    }


def getter_of(constant: str) -> str:
    """The contracts' name of a constant, which has no unit: order_ttl_s -> ORDER_TTL."""
    return re.sub("_(s|units|wei)$", "", constant).upper()


def _camel(immutable: str) -> str:
    """FEE_BPS -> feeBps."""
    first, *rest = immutable.lower().split("_")
    return first + "".join(part.capitalize() for part in rest)


def _short_string(text: str) -> bytes:
    """OpenZeppelin's ShortString: the text, and its length in the last byte."""
    return text.encode().ljust(31, b"\0") + bytes([len(text)])
