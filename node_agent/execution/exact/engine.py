"""What the exact engines share: how one is loaded on a host that computes rightly, and which workloads it serves."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from contracts.protocol.manifest import EXACT_ENGINE, Manifest
from contracts.protocol.packed import pack
from contracts.protocol.trace import trace_hash_of
from node_agent.devices.probe import choose
from node_agent.execution.engine import Check, Engine, Execution, Speed
from node_agent.execution.exact import ways
from node_agent.execution.exact.model_root import require_root
from node_agent.execution.exact.port import Way
from node_agent.execution.exact.trace import TextTrace, encode
from node_agent.execution.limits import require_described, require_named, require_positions, require_showable
from node_agent.execution.model_files import ModelFiles

USUAL_JOB = (64, 64)
"""Tokens that a job reads and writes, by which ways are compared."""


class ExactEngine(Engine, ABC):
    """See `engine.Engine`. Calls must not overlap in a process.

    Attributes:
        meter, params, optional: of the workloads that it serves: what is metered, and the parameters that they must
            and may have.
    """

    name: str = EXACT_ENGINE
    version: str = "2"
    check: Check = "prefill"
    pinned: bool = False
    concurrent: bool = False
    meter: ClassVar[str]
    params: ClassVar[Collection[str]] = ()
    optional: ClassVar[Collection[str]] = ()

    def __init__(self, model: Any, manifest: Manifest) -> None:
        """Assemble from parts; `load` is the way in that verifies them.

        Raises:
            EngineMismatch: the manifest describes another engine, or other parameters than this one has.
            UnsupportedModel: the workload allows more positions than the model has.
        """
        self.model, self.manifest = model, manifest
        described = {"engine": self.name, "engine_version": self.version, "check": self.check, "meter": self.meter}
        require_described(manifest, self.params, self.optional, **described)
        require_positions(manifest, model.config.positions)

    @staticmethod
    @abstractmethod
    def read(path: Path) -> Any:
        """What a model file says. Errors as in `load`."""

    @staticmethod
    @abstractmethod
    def model_by(way: Way, parameters: Any) -> Any:
        """The model that `read` read, computed in one way."""

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
        engine, speed = ways.fastest(
            choose(device), lambda way: cls(cls.model_by(way, parameters), manifest), cls.measure, USUAL_JOB, known
        )
        engine.speed = speed
        return engine


def traced_execution(answers: Sequence[Sequence[int]], traces: Sequence[TextTrace], units: int) -> Execution:
    """An execution from the answers and traces of its texts, in order. Raises OutputTooLong."""
    output, trace = pack(answers), encode(traces)
    require_showable(output)
    return Execution(output=output, trace_hash=trace_hash_of(trace), units=units, trace=trace)
