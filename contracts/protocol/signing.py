"""secp256k1 signatures over digests: 65 bytes r ‖ s ‖ v with low s, or EIP-2098 compact (r, vs)."""

from eth_keys.backends.coincurve import CoinCurveECCBackend
from eth_keys.datatypes import PrivateKey
from eth_keys.exceptions import BadSignature as _EthBadSignature
from eth_keys.main import KeyAPI
from eth_utils.exceptions import ValidationError as _EthValidationError

from contracts.protocol.errors import BadSignature
from contracts.protocol.hashing import from_hex, to_hex

keys = KeyAPI(CoinCurveECCBackend)
_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class _SilentKey(PrivateKey):
    """Hides the key from logs and tracebacks: the library's repr shows it."""

    def __repr__(self) -> str:
        return "_SilentKey(...)"

    __str__ = __repr__


class Signer:
    """A private key that signs digests."""

    def __init__(self, private_key: bytes) -> None:
        self._key = _SilentKey(private_key)
        self.address: str = self._key.public_key.to_address()

    def sign(self, digest: bytes) -> str:
        """The signature of a 32-byte digest, 0x hex of r ‖ s ‖ v with v 27 or 28."""
        signature = self._key.sign_msg_hash(digest)
        return to_hex(signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big") + bytes([27 + signature.v]))

    def private_key(self) -> bytes:
        """The key's bytes, for keystores and transactions."""
        return self._key.to_bytes()

    def __repr__(self) -> str:
        return f"Signer({self.address})"


def recover(digest: bytes, signature: str) -> str:
    """The lower-case address that signed `digest`. Raises BadSignature for a malformed or malleable signature."""
    raw = from_hex(signature)
    if len(raw) != 65:
        raise BadSignature(f"has {len(raw)} bytes, not 65")
    r, s, v = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64]
    if v not in (27, 28):
        raise BadSignature(f"has v = {v}, not 27 or 28")
    if s > _N // 2:
        raise BadSignature("has a high s (malleable)")
    try:
        address: str = keys.Signature(vrs=(v - 27, r, s)).recover_public_key_from_msg_hash(digest).to_address()
    except (_EthBadSignature, _EthValidationError) as error:
        raise BadSignature("belongs to no key") from error
    return address


def compact(signature: str) -> tuple[bytes, bytes]:
    """EIP-2098: (r, vs), 32 bytes each."""
    raw = from_hex(signature)
    r, s, v = raw[:32], int.from_bytes(raw[32:64], "big"), raw[64]
    return r, (s | (v - 27) << 255).to_bytes(32, "big")


def expand(r: bytes, vs: bytes) -> str:
    """The 65-byte form of a compact signature."""
    number = int.from_bytes(vs, "big")
    return to_hex(r + (number & (2**255 - 1)).to_bytes(32, "big") + bytes([27 + (number >> 255)]))
