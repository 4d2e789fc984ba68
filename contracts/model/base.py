"""What every modelled contract stands on: time, events, refusals."""

from dataclasses import dataclass, field

from contracts.protocol.errors import BadSignature
from contracts.protocol.hashing import keccak
from contracts.protocol.signing import expand, recover

U16, U32, U64, U256 = 2**16 - 1, 2**32 - 1, 2**64 - 1, 2**256 - 1
ZERO_ADDRESS = "0x" + "00" * 20

Value = int | str | bytes | bool | tuple["Value", ...] | list["Value"]
"""What an ABI can carry: addresses are lower-case hex, byte strings are bytes."""


class Refused(Exception):
    """A call that changes nothing: the error's name and its values."""

    def __init__(self, name: str, *values: Value) -> None:
        super().__init__(name, *values)
        self.name, self.values = name, values


def refuse_if(holds: bool, name: str, *values: Value) -> None:
    """Raises the error if its condition holds."""
    if holds:
        raise Refused(name, *values)


def add64(value: int, more: int) -> int:
    """A sum that 64 bits must hold. No named error guards these sums: Solidity panics."""
    refuse_if(value + more > U64, "Panic", 0x11)
    return value + more


@dataclass(frozen=True)
class Event:
    """One log: the contract, the event's name, its values in the ABI's order."""

    address: str
    name: str
    values: tuple[Value, ...]


@dataclass
class Chain:
    """The block a call runs in, who signed its transaction, and what it logged so far."""

    now: int = 0
    block: int = 0
    origin: str = ZERO_ADDRESS
    events: list[Event] = field(default_factory=list)

    def emit(self, address: str, name: str, *values: Value) -> None:
        """Logs an event."""
        self.events.append(Event(address, name, values))


def signer_of(digest: bytes, signature: bytes) -> str:
    """Who signed, or the zero address for bytes that are no valid signature of anybody."""
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
