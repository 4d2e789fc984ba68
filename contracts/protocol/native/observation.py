"""A verifier's observation of a native answer, from one pass over prompt and answer: four bytes per token.

It is published with the verdict, whose hidden answer has sha256 of these bytes as its trace hash.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Self

from contracts.protocol.errors import BadFingerprint
from contracts.protocol.hashing import to_hex
from contracts.protocol.native.fingerprint import MARGIN_CLIP_MILLI, PROJECTIONS
from contracts.protocol.records import Commitment, Opening

_TAG = b"assay/observation/native/1\n"
_HEAD = len(_TAG) + 32 + 1


@dataclass(frozen=True)
class Observation:
    """One verifier's view of one answer.

    Attributes:
        numeric_class: hex digest of the verifier's calibration.
        fingerprint: the verifier's, PROJECTIONS bytes per token of the answer.
        margins_milli: by how much it prefers another token, in thousandths, 0 to MARGIN_CLIP_MILLI, one per token.
        ended: whether each text has an answer that ends at its first stop token or at the limit.
    """

    numeric_class: str
    fingerprint: bytes
    margins_milli: tuple[int, ...]
    ended: bool

    def encode(self) -> bytes:
        """The bytes that are published."""
        margins = struct.pack(f">{len(self.margins_milli)}H", *self.margins_milli)
        return _TAG + bytes.fromhex(self.numeric_class) + bytes([self.ended]) + self.fingerprint + margins

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Decodes published bytes. Raises BadFingerprint."""
        tokens, odd = divmod(len(data) - _HEAD, PROJECTIONS + 2)
        if not data.startswith(_TAG) or tokens < 0 or odd or data[_HEAD - 1] > 1:
            raise BadFingerprint(node_bytes=0, verifier_bytes=len(data))
        split = _HEAD + PROJECTIONS * tokens
        margins = struct.unpack(f">{tokens}H", data[split:])
        if any(margin > MARGIN_CLIP_MILLI for margin in margins):
            raise BadFingerprint(node_bytes=0, verifier_bytes=len(data))
        numeric_class = data[len(_TAG) : len(_TAG) + 32].hex()
        return cls(numeric_class, data[_HEAD:split], margins, bool(data[_HEAD - 1]))


def observed_opening(observation: bytes, commitment: Commitment) -> Opening:
    """The hidden answer of a verdict on an observation: its digest, with the output and units that were observed."""
    digest = to_hex(hashlib.sha256(observation).digest())
    return Opening(trace_hash=digest, output_root=commitment.output_root, units=commitment.units)
