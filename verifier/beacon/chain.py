"""The hash chain (SPEC sections 6 and 9): x_N = secret, x_(i-1) = keccak(x_i); x_0 is the anchor, x_n epoch n's value.

x_n reveals all values before it and none after it. Pure.
"""

from contracts.protocol.hashing import keccak
from verifier.errors import BeaconExhausted

DEFAULT_LENGTH = 100_000


class BeaconChain:
    """All values of a chain of `length` epochs, 32 bytes each, computed once (about a second for 100,000)."""

    def __init__(self, secret: bytes, length: int) -> None:
        if length < 1:
            raise ValueError(f"a beacon chain has at least one value, not {length}")
        self.length = length
        self._values = [secret]
        for _ in range(length):
            self._values.append(keccak(self._values[-1]))

    @property
    def anchor(self) -> bytes:
        """x_0, the escrow's first `tip`."""
        return self._values[self.length]

    def value(self, epoch_id: int) -> bytes:
        """x_n, which `postEpoch(n)` reveals. Raises BeaconExhausted outside 1..length."""
        if not 1 <= epoch_id <= self.length:
            raise BeaconExhausted(epoch_id=epoch_id, length=self.length)
        return self._values[self.length - epoch_id]
