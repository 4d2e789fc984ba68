"""What the exact engines share: how one is loaded on a host that computes rightly, and which workloads it serves."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from contracts.protocol.manifest import EXACT_ENGINE, Manifest
from contracts.protocol.trace import trace_hash_of
from node_agent.devices.probe import choose
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.execution.errors import EngineMismatch, UnsupportedModel
from node_agent.execution.exact import ways
from node_agent.execution.exact.model_root import require_root
from node_agent.execution.exact.port import Way
from node_agent.execution.exact.trace import TextTrace, encode
from node_agent.execution.limits import require_named
from node_agent.execution.model_files import ModelFiles

USUAL_JOB = (64, 64)
"""Tokens that a job reads and writes, by which ways are compared."""


class ExactEngine(Engine, ABC):
    """See `engine.Engine`. Calls must not overlap in a process.

    Attributes:
        meter: of the workloads that it serves.
    """

    name: str = EXACT_ENGINE
    version: str = "2"
    check: Check = "prefill"
    pinned: bool = False
    concurrent: bool = False
    meter: ClassVar[str]

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest

    @classmethod
    @abstractmethod
    def read(cls, weights: Path) -> Any:
        """What a model file says. Errors as in `load`."""

    @classmethod
    @abstractmethod
    def build(cls, parameters: Any, way: Way, manifest: Manifest) -> Self:
        """An engine over what `read` read, computed in one way. Errors as in `load`."""

    @abstractmethod
    def measure(self, way: str, patience_s: float) -> Speed:
        """Times this engine on its own model.

        Args:
            way: how it computes, in words.
            patience_s: a usual job's time on the fastest way so far; what is slower need not be timed twice.
        """

    @classmethod
    def load(cls, files: ModelFiles, manifest: Manifest, device: str | None = None, known: Speed | None = None) -> Self:
        """Load a model file whose digest the store has verified, by the fastest of the ways that are sound here.

        Args:
            files: from the model store.
            manifest: the workload to serve.
            device: "cpu", "cuda" or "cuda:N"; the first GPU, else the CPU, if not given.
            known: what was measured here before with this version, so that it need not be measured again.

        Raises:
            SelfTestFailed: this host computes wrongly; nothing that it computes may be signed.
            ModelDigestMismatch, UnsafeModelFormat, UnsupportedModel, EngineMismatch: the parts are not the manifest's.
        """
        require_named(files, manifest)
        parameters = cls.read(files.weights)
        require_root(parameters, manifest)
        chosen = ways.fastest(
            choose(device),
            lambda way: cls.build(parameters, way, manifest),
            lambda engine, way, patience_s: engine.measure(way, patience_s),
            USUAL_JOB,
            known,
        )
        chosen.model.speed = chosen.speed
        return chosen.model

    def _require_manifest(self, params: frozenset[str] = frozenset(), known: frozenset[str] = frozenset()) -> None:
        """Raises EngineMismatch unless the manifest describes this engine.

        Args:
            params: parameters that the workload must have.
            known: all that it may have.
        """
        manifest, names = self.manifest, frozenset(self.manifest.params)
        wanted = (manifest.engine, manifest.engine_version, manifest.check, manifest.meter)
        have = (self.name, self.version, self.check, self.meter)
        if wanted != have or not params <= names <= known:
            raise EngineMismatch(
                f"The workload wants engine, version, check and meter {wanted} and the parameters {sorted(names)}; "
                f"this is {have}, of {sorted(known)}.",
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
    return Execution(output=output, trace_hash=trace_hash_of(trace), units=units, trace=trace)
