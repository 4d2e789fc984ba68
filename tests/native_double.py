"""A native engine without a model: what it computes are bytes that follow from its flavour, give or take some noise.

It stands for hosts of the two classes that SmolLM2 is calibrated for, so that checks of its work have thresholds.
"""

import hashlib
import random
from collections.abc import Mapping

from contracts.protocol.manifest import Manifest
from contracts.protocol.native.calibrated import read
from contracts.protocol.native.fingerprint import PROJECTIONS, NativeOpening
from contracts.protocol.native.observation import Observation
from contracts.protocol.packed import pack
from node_agent.execution.engine import Check, Engine, Execution

_PAIR = min(
    (each for each in read() if each.distance.low >= 5 and each.node_class != each.verifier_class),
    key=lambda each: each.distance.low,
)
"""Two classes that differ by a few steps, as this double's flavours do."""

WEIGHTS_SHA256, NODE_CLASS, VERIFIER_CLASS = _PAIR.weights_sha256, _PAIR.node_class, _PAIR.verifier_class
TOKENS = 64


class NativeDouble(Engine):
    """Of a class and a flavour: the same flavour in two classes differs by noise, another one by everything."""

    name: str = "torch-native"
    version: str = "1"
    check: Check = "prefill"

    def __init__(self, numeric_class: str, flavour: bytes = b"honest", tokens: int = TOKENS) -> None:
        self.numeric_class: str = numeric_class
        self.flavour, self.tokens = flavour, tokens
        self.executed = self.observed = 0

    def get(self, manifest: Manifest) -> "NativeDouble":
        """The engine of any workload (verifier.reexecution.Engines)."""
        return self

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        self.executed += 1
        output = pack([range(self.tokens)])
        opening = NativeOpening(self.numeric_class, self._bytes(input_bytes, 32), self._fingerprint(input_bytes))
        return Execution(output, opening.trace_hash, self.tokens, opening.encode())

    def observe(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> bytes:
        self.observed += 1
        return Observation(self.numeric_class, self._fingerprint(input_bytes), (0,) * self.tokens, ended=True).encode()

    def _fingerprint(self, input_bytes: bytes) -> bytes:
        noise = random.Random(self.numeric_class + input_bytes.hex())
        exact = self._bytes(input_bytes, PROJECTIONS * self.tokens)
        return bytes((byte + noise.randint(-2, 2)) % 256 for byte in exact)

    def _bytes(self, input_bytes: bytes, count: int) -> bytes:
        return hashlib.shake_256(self.flavour + input_bytes).digest(count)
