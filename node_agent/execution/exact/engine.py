"""The base of the exact engines: how they are loaded and tested on a host, and which workloads they serve."""

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
"""Tokens read and written by a usual job; the way that is fastest on it is chosen."""


class ExactEngine(Engine, ABC):
    """See `engine.Engine`. Calls must not overlap in a process.

    Attributes:
        meter, params, optional: what its workloads meter, and which parameters they must and may have.
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
        """The contents of a model file. Errors as in `load`."""

    @staticmethod
    @abstractmethod
    def model_by(way: Way, parameters: Any) -> Any:
        """A model from what `read` returned, computed in one way."""

    @abstractmethod
    def measure(self, way: str, patience_s: float) -> Speed:
        """Times this engine on its own model.

        Args:
            way: how it computes, in words.
            patience_s: seconds of a usual job on the fastest way so far; a slower way need not be timed twice.
        """

    @classmethod
    def load(cls, files: ModelFiles, manifest: Manifest, device: str | None = None, known: Speed | None = None) -> Self:
        """See `kinds.EngineType`. The engine uses the fastest sound way of this host."""
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
