"""Keccak-256, the protocol's hash, and 0x hex."""

from eth_hash.auto import keccak as _keccak

ZERO32 = bytes(32)


def keccak(data: bytes) -> bytes:
    """Keccak-256 of `data`, 32 bytes."""
    return bytes(_keccak(data))


def to_hex(data: bytes) -> str:
    """Lower-case 0x hex, the only spelling in canonical JSON, logs and files."""
    return "0x" + data.hex()


def from_hex(text: str) -> bytes:
    """Bytes of a 0x string. Raises ValueError for anything else."""
    if not text.startswith("0x"):
        raise ValueError(f"hex must start with 0x, got {text[:20]!r}")
    return bytes.fromhex(text[2:])
