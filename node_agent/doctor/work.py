"""Whether this host can serve what is offered: kind, engine, numeric class, and each file of each model."""

from pathlib import Path

from contracts.protocol.manifest import Manifest
from node_agent.app import resolve_workload
from node_agent.devices import numeric_class
from node_agent.devices.probe import resolve
from node_agent.doctor.findings import Finding, fail, ok, tried, warn
from node_agent.execution import kinds
from node_agent.execution.gguf_convert import CONFIG, TOKENIZER, WEIGHTS
from node_agent.execution.model_files import require_digest
from node_agent.models import ModelStore, require_config
from node_agent.where import Where


def look_at_work(where: Where, store: ModelStore, device: str | None) -> list[Finding]:
    """Every line about workloads and models. Each file is read whole."""
    return tried("workloads", lambda: _workloads(where, store, device))


def _workloads(where: Where, store: ModelStore, device: str | None) -> list[Finding]:
    manifests = offered(where)
    found: list[Finding] = []
    served = 0
    for manifest in manifests:
        why = why_not(manifest, device)
        if why is not None:
            found.append(why)
            continue
        files = _files(manifest, store)
        served += all(line.level == "OK" for line in files)
        found += files
    if served == 0:
        found.append(
            fail(
                "workloads",
                f"none of the {len(manifests)} that are offered can be served here.",
                "Mend the lines above; without any, wait for a workload of this host's numeric class.",
            )
        )
    return found


def offered(where: Where) -> list[Manifest]:
    """The workloads that this home was told to serve, else all that the backend offers. Raises BackendError."""
    api, kept = where.api(attempts=1), where.settings.workloads if where.settings else []
    return [resolve_workload(name, api) for name in kept or [e.workload_id for e in api.network().price_sheet]]


def why_not(manifest: Manifest, device: str | None) -> Finding | None:
    """Why this host is not one that the workload is for, whatever files it has."""
    name = f"workload {manifest.model}"
    if manifest.kind not in kinds.names():
        return warn(name, f"is of the kind {manifest.kind}, unknown here.", "Install the release that carries it.")
    engine = kinds.find(manifest.kind).engine
    wanted, have = (manifest.engine, manifest.engine_version), (engine.name, engine.version)
    if wanted != have:
        return warn(name, f"wants engine {wanted}, this is {have}.", "Install the release that carries that engine.")
    here = numeric_class.current(str(resolve(device))).digest
    if manifest.numeric_class not in (None, here):
        mend = "Its answers here would not be bit for bit those of its class. Serve it on the hardware of that class."
        return warn(name, f"is of numeric class {manifest.numeric_class}, this host is {here}.", mend)
    return None


def _files(manifest: Manifest, store: ModelStore) -> list[Finding]:
    name, folder = f"model {manifest.model}", store.root / manifest.weights_sha256
    if not folder.is_dir():
        mend = "Run `assay node init` again, or `assay models pull`."
        return [fail(name, f"is not in the store {store.root}.", mend)]
    return [
        *tried(name, lambda: _digest(name, folder / WEIGHTS, manifest.weights_sha256)),
        *tried(name, lambda: _digest(name, folder / TOKENIZER, manifest.tokenizer_sha256)),
        *tried(name, lambda: _config(name, folder / WEIGHTS, folder / CONFIG)),
    ]


def _digest(name: str, path: Path, expected: str) -> list[Finding]:
    require_digest(path, expected)
    return [ok(name, f"{path.name} is {expected[:12]}.., as the workload names it")]


def _config(name: str, weights: Path, config: Path) -> list[Finding]:
    require_config(weights, config)
    return [ok(name, f"{config.name} is the one that the weights name")]
