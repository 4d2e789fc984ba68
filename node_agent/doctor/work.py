"""Whether this host can serve the offered workloads: kind, engine, numeric class, and each file of each model."""

from contextlib import closing
from functools import partial
from pathlib import Path

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack
from node_agent.app import resolve_workload
from node_agent.devices.probe import choose
from node_agent.doctor.findings import DoctorFinding, fail, is_well, ok, tried, warn
from node_agent.execution import kinds
from node_agent.execution.errors import TorchMissing
from node_agent.execution.model_files import CONFIG, TOKENIZER, WEIGHTS, require_config, require_digest
from node_agent.execution.sandbox import Executor
from node_agent.models import ModelStore
from node_agent.where import NodePlace


def look_at_work(where: NodePlace, store: ModelStore, device: str | None) -> list[DoctorFinding]:
    """Every finding about workloads and models. Reads each file completely."""
    return tried("workloads", lambda: _workloads(where, store, device))


def _workloads(where: NodePlace, store: ModelStore, device: str | None) -> list[DoctorFinding]:
    manifests = offered(where)
    found: list[DoctorFinding] = []
    served = 0
    with closing(Executor(store.root)) as executor:
        for manifest in manifests:
            why = why_not(manifest, device)
            if why is not None:
                found.append(why)
                continue
            lines = _files(manifest, store)
            if is_well(lines):
                load = partial(_engine, executor, manifest, store, device)
                lines += tried(f"engine of {manifest.model}", load)
            served += is_well(lines)
            found += lines
    if served == 0:
        fix = "Fix the lines above; if there are none, wait for a workload of this host's numeric class."
        found.append(fail("workloads", f"none of the {len(manifests)} that are offered can be served here.", fix))
    return found


def _engine(executor: Executor, manifest: Manifest, store: ModelStore, device: str | None) -> list[DoctorFinding]:
    """Loads the engine as a node does, in the confined process, and runs the smallest job that the workload allows."""
    engine = executor.load(store.load(manifest.weights_sha256), manifest, device)
    prompt = manifest.prompt(manifest.stops[:1] or [0])  # any token will do
    engine.execute(pack([prompt]), {name: one.minimum for name, one in manifest.params.items()})
    says = "a job was run in the confined process"
    if engine.speed is not None:
        read, write = engine.speed.read_per_s, engine.speed.write_per_s
        says += f"; {engine.speed.way}: reads {read:.0f}, writes {write:.1f} tokens a second"
    return [ok(f"engine of {manifest.model}", says)]


def offered(where: NodePlace) -> list[Manifest]:
    """The workloads that this home is set to serve, else all that the backend offers. Raises BackendError."""
    api, kept = where.api(attempts=1), where.settings.workloads if where.settings else []
    return [resolve_workload(name, api) for name in kept or [e.workload_id for e in api.network().price_sheet]]


def why_not(manifest: Manifest, device: str | None) -> DoctorFinding | None:
    """The reason why this host cannot serve the workload, with any files."""
    name = f"workload {manifest.model}"
    if manifest.kind not in kinds.names():
        return warn(name, f"is of the kind {manifest.kind}, unknown here.", "Install the release that carries it.")
    try:
        engine = kinds.find(manifest.kind).engine
    except TorchMissing as error:
        return warn(name, error.message, error.way_out)
    wanted, have = (manifest.engine, manifest.engine_version), (engine.name, engine.version)
    if wanted != have:
        return warn(name, f"wants engine {wanted}, this is {have}.", "Install the release that carries that engine.")
    here = None if manifest.numeric_class is None else kinds.numeric_class_of(choose(device))
    if manifest.numeric_class != here:
        fix = "Answers from here would differ in their last bits. Serve it on hardware of that class."
        return warn(name, f"is of numeric class {manifest.numeric_class}, this host is {here}.", fix)
    return None


def _files(manifest: Manifest, store: ModelStore) -> list[DoctorFinding]:
    name, folder = f"model {manifest.model}", store.root / manifest.weights_sha256
    if not folder.is_dir():
        fix = "Run `assay node init` again, or `assay models pull`."
        return [fail(name, f"is not in the store {store.root}.", fix)]
    return [
        *tried(name, lambda: _digest(name, folder / WEIGHTS, manifest.weights_sha256)),
        *tried(name, lambda: _digest(name, folder / TOKENIZER, manifest.tokenizer_sha256)),
        *tried(name, lambda: _config(name, folder / WEIGHTS, folder / CONFIG)),
    ]


def _digest(name: str, path: Path, expected: str) -> list[DoctorFinding]:
    require_digest(path, expected)
    return [ok(name, f"{path.name} is {expected[:12]}.., as the workload names it")]


def _config(name: str, weights: Path, config: Path) -> list[DoctorFinding]:
    require_config(weights, config)
    return [ok(name, f"{config.name} is the one that the weights name")]
