"""Shared by all modelled contracts: time, events, refusals."""

from dataclasses import dataclass, field

from contracts.protocol.errors import BadSignature
from contracts.protocol.hashing import keccak
from contracts.protocol.signing import expand, recover

U16, U32, U64, U256 = 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**256 - 1
ZERO_ADDRESS = "0x" + "00" * 20

Value = int | str | bytes | bool | tuple["Value", ...] | list["Value"]
"""ABI values: addresses as lower-case hex, byte strings as bytes."""


class Refused(Exception):
    """A call was refused and changed nothing. Has the error's name and values."""

    def __init__(self, name: str, *values: Value) -> None:
        super().__init__(name, *values)
        self.name, self.values = name, values


def refuse_if(holds: bool, name: str, *values: Value) -> None:
    """Raises the error if the condition holds."""
    if holds:
        raise Refused(name, *values)


def add64(value: int, more: int) -> int:
    """A sum that must fit 64 bits. These sums have no named error: Solidity panics."""
    refuse_if(value + more > U64, "Panic", 0x11)
    return value + more


@dataclass(frozen=True)
class Event:
    """One log: contract, event name, values in the ABI's order."""

    address: str
    name: str
    values: tuple[Value, ...]


@dataclass
class Chain:
    """The block of a call, the signer of its transaction, and the logs so far."""

    now: int = 0
    block: int = 0
    origin: str = ZERO_ADDRESS
    events: list[Event] = field(default_factory=list)

    def emit(self, address: str, name: str, *values: Value) -> None:
        """Logs an event."""
        self.events.append(Event(address, name, values))


def signer_of(digest: bytes, signature: bytes) -> str:
    """The signer, or the zero address for an invalid signature."""
    try:
        return recover(digest, "0x" + signature.hex())
    except BadSignature:
        return ZERO_ADDRESS


def compact_signer_of(digest: bytes, r: bytes, vs: bytes) -> str:
    """The same for an EIP-2098 signature."""
    return signer_of(digest, bytes.fromhex(expand(r, vs)[2:]))


def word(value: int | str | bytes) -> bytes:
    """One ABI word."""
    if isinstance(value, bytes):
        return value.rjust(32, b"\0")
    return value.to_bytes(32, "big") if isinstance(value, int) else bytes.fromhex(value[2:]).rjust(32, b"\0")


def hash_words(*values: int | str | bytes) -> bytes:
    """keccak256(abi.encode(values)) of static values."""
    return keccak(b"".join(word(value) for value in values))
