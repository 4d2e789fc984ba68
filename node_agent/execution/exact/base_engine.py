"""What the exact engines share: how one is loaded on a host that computes rightly, and which workloads it serves."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import torch

from contracts.protocol.manifest import Manifest
from contracts.protocol.tokens import TextTokenizer
from node_agent.devices.probe import resolve
from node_agent.execution.engine import Check, Engine, Execution
from node_agent.execution.errors import EngineMismatch, UnsupportedModel
from node_agent.execution.exact import self_test
from node_agent.execution.exact.products import Products
from node_agent.execution.exact.trace import TextTrace, encode
from node_agent.execution.limits import require_named
from node_agent.execution.model_files import ModelFiles


class ExactEngine(Engine, ABC):
    """See `engine.Engine`. Calls must not overlap in a process.

    Attributes:
        meter: of the workloads that it serves.
    """

    name: str = "exact"
    version: str = "1"
    check: Check = "prefill"
    pinned: bool = False
    concurrent: bool = False
    meter: ClassVar[str]

    def __init__(self, tokenizer: TextTokenizer, manifest: Manifest) -> None:
        self.tokenizer, self.manifest = tokenizer, manifest

    @classmethod
    @abstractmethod
    def build(
        cls, weights: Path, products: Products, device: torch.device, tokenizer: TextTokenizer, manifest: Manifest
    ) -> Self:
        """Open the model file. Digests match already, and this way to multiply is sound. Errors as in `load`."""

    @classmethod
    def load(cls, files: ModelFiles, manifest: Manifest, device: str | None = None) -> Self:
        """Load a model file whose digest the store has verified, on a host that passes the self-test.

        Args:
            files: from the model store.
            manifest: the workload to serve.
            device: "cpu", "cuda" or "cuda:N"; the first GPU, else the CPU, if not given.

        Raises:
            SelfTestFailed: this host computes wrongly; nothing that it computes may be signed.
            ModelDigestMismatch, UnsafeModelFormat, UnsupportedModel, EngineMismatch: the parts are not the manifest's.
        """
        where = resolve(device)
        products = self_test.sound_products(str(where))
        require_named(files, manifest)
        tokenizer = TextTokenizer(files.tokenizer.read_bytes(), manifest.tokenizer_sha256)
        return cls.build(files.weights, products, where, tokenizer, manifest)

    def _require_manifest(
        self, overhead: int, params: frozenset[str] = frozenset(), known: frozenset[str] = frozenset()
    ) -> None:
        """Raises EngineMismatch unless the manifest describes this engine.

        Args:
            overhead: tokens that this engine puts around a text.
            params: parameters that the workload must have.
            known: all that it may have.
        """
        manifest, names = self.manifest, frozenset(self.manifest.params)
        wanted = (manifest.engine, manifest.engine_version, manifest.check, manifest.meter)
        have = (self.name, self.version, self.check, self.meter)
        if wanted != have or manifest.input.overhead_tokens != overhead or not params <= names <= known:
            raise EngineMismatch(
                f"The workload wants engine, version, check and meter {wanted}, {manifest.input.overhead_tokens} "
                f"tokens around a text and the parameters {sorted(names)}; this is {have}, {overhead}, of "
                f"{sorted(known)}.",
                way_out="Correct the manifest; its workload id changes with it.",
                expected=have,
                found=wanted,
            )

    def _require_positions(self, new_tokens: int, available: int) -> None:
        """Raises UnsupportedModel where the workload's longest text and answer exceed the model's positions."""
        needed = self.manifest.input.max_tokens + new_tokens
        if needed > available:
            raise UnsupportedModel(
                f"The workload allows {needed} positions, the model has {available}.",
                way_out="Lower input.max_tokens or params.max_new_tokens.maximum in the manifest.",
                needed=needed,
                available=available,
            )


def traced_execution(output: bytes, traces: Sequence[TextTrace], units: int) -> Execution:
    """An execution with the trace of its texts, in order."""
    trace = encode(traces)
    return Execution(output=output, trace_hash=hashlib.sha256(trace).digest(), units=units, trace=trace)
