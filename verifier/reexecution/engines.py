"""The engines of a host by workload, and an answer from one run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.native.observation import observed_opening
from contracts.protocol.packed import packed_root
from contracts.protocol.records import Commitment, Opening
from contracts.protocol.typed_data import agrees
from node_agent.devices.probe import choose
from node_agent.execution import kinds
from node_agent.execution.engine import Engine
from node_agent.execution.errors import ModelUnavailable
from node_agent.execution.model_files import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    ModelFiles,
    require_config,
    require_digest,
    sha256_file,
)
from node_agent.execution.sandbox import Executor
from node_agent.hosts import require_serving_host


class Engines(Protocol):
    """Engines that can compute a workload."""

    def get(self, manifest: Manifest) -> Engine:
        """The engine of a workload, loaded on first use. Raises ExecutionError where this host cannot run it."""


class LocalEngines:
    """Engines over a folder of models, `<model_dir>/<sha256 of the weights>/`, which `assay models pull` fills.

    They run in a confined process, where an input that takes it over finds no key and no network; without `confined` in
    this process, as on macOS they must. Raises HostUnsupported where nothing can be confined.
    """

    def __init__(self, model_dir: Path, device: str | None = None, *, confined: bool = True) -> None:
        self._model_dir, self._device = model_dir.expanduser(), device
        if confined:
            require_serving_host()
        self._load = Executor(self._model_dir).load if confined else _load_here
        self._loaded: dict[str, Engine] = {}

    def get(self, manifest: Manifest) -> Engine:
        workload_id = manifest.workload_id()
        if workload_id not in self._loaded:
            self._loaded[workload_id] = self._load(self._files(manifest), manifest, self._device)
        return self._loaded[workload_id]

    def _files(self, manifest: Manifest) -> ModelFiles:
        """The workload's files, hashed here: a verifier vouches for the bytes that it ran."""
        folder = self._model_dir / manifest.weights_sha256
        if not folder.is_dir():
            says = f"Model {manifest.model} ({manifest.weights_sha256}) is not in {self._model_dir}."
            way_out = f"Run `assay models pull {manifest.model}`; until then this verifier abstains."
            raise ModelUnavailable(says, way_out=way_out, weights_sha256=manifest.weights_sha256)
        weights, tokenizer, config = folder / WEIGHTS, folder / TOKENIZER, folder / CONFIG
        require_digest(weights, manifest.weights_sha256)
        require_config(weights, config)
        return ModelFiles(weights, tokenizer, config, manifest.weights_sha256, sha256_file(tokenizer))


def _load_here(files: ModelFiles, manifest: Manifest, device: str | None) -> Engine:
    return kinds.load(files, manifest, choose(device))


@dataclass(frozen=True)
class Answered:
    """This host's answer to a job. `observation`: of native work of another class; else empty."""

    opening: Opening
    observation: bytes = b""


def look(
    engine: Engine,
    input_bytes: bytes,
    params: Mapping[str, int],
    claimed: bytes,
    commitment: Commitment,
    node_class: str | None,
) -> Answered:
    """This host's answer to native work. Raises ExecutionError.

    Work of this host's own class is computed again and must be equal; if it is not, and for other classes, the node's
    output is observed. `node_class`: from the node's newest trace, if any.
    """
    if node_class == engine.numeric_class:
        again = answer(engine, input_bytes, params, claimed)
        if agrees(again, commitment):
            return Answered(again)
    observation = engine.observe(input_bytes, params, claimed)
    return Answered(observed_opening(observation, commitment), observation)


def answer(engine: Engine, input_bytes: bytes, params: Mapping[str, int], claimed: bytes = b"") -> Opening:
    """This host's result for a job. `claimed`: the node's output, see `Engine.recheck`. Raises ExecutionError."""
    run = engine.recheck(input_bytes, params, claimed)
    return Opening(trace_hash=to_hex(run.trace_hash), output_root=to_hex(packed_root(run.output)), units=run.units)
