"""Kinds of work: one file each, found by its name. `README.md` beside this file shows how to add one.

A file `kinds/<kind>.py` exports
- ENGINE: an `EngineType`, or for one that needs torch its place, "module:Class", so that a host without torch can read
  the file;
- MODELS: the models that it can run, by the names under which `assay models pull` fetches them;
- TEMPLATE: the fields of a workload's manifest that the kind decides: unit, meter, params, input, deterrence.

There is no list to edit: nodes and verifiers load the kind that a manifest names.
"""

import importlib
import importlib.util
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from contracts.protocol.manifest import MAX_NEW_TOKENS, Manifest
from node_agent.execution.engine import Check, Engine, Speed
from node_agent.execution.errors import TorchMissing, UnknownKind
from node_agent.execution.limits import require_room
from node_agent.execution.model_files import Built, ModelFiles, Source, Stored

__all__ = ["Kind", "find", "load", "names", "sources", "write_manifest"]

DETERRENCE = {
    "honest_cost_ppm": 1_000_000,
    "cheat_cost_ppm": 0,
    "detection_ppm": 1_000_000,
    "collusion_ppm": 350_000,
    "false_alarm_ppm": 0,
}
"""How checks are priced where an answer is either right or wrong (`contracts.protocol.sampling.Deterrence`): even a
cheat that costs nothing loses money, with up to 35 % of the checks drawn to friends (`verifier/ECONOMICS.md`)."""


class EngineType(Protocol):
    """Makes engines of a kind.

    Attributes:
        name, version, check: of its engines.
        pinned: whether answers are the same within one numeric class only.
    """

    name: str
    version: str
    check: Check
    pinned: bool

    def load(
        self, files: ModelFiles, manifest: Manifest, device: str | None = None, known: Speed | None = None
    ) -> Engine:
        """An engine whose results may be signed.

        Args:
            files: from the model store, which has verified their digests.
            manifest: the workload to serve.
            device: "cpu", "cuda" or "cuda:N"; the first GPU, else the CPU, if not given.
            known: the speed measured on this host before with this version, so that it is not measured again.

        Raises:
            SelfTestFailed: this host computes wrongly; nothing that it computes may be signed.
            WorkloadMismatch, UnsafeModelFormat, UnsupportedModel: this host or these files are not the manifest's.
        """
        ...


@dataclass(frozen=True)
class Kind:
    """What a kind's file exports."""

    name: str
    place: EngineType | str
    models: Mapping[str, Source | Built]
    template: Mapping[str, Any]

    @property
    def needs_torch(self) -> bool:
        """Whether its engine needs torch on every device."""
        return isinstance(self.place, str)

    @property
    def engine(self) -> EngineType:
        """Its engine type. Raises TorchMissing."""
        if not isinstance(self.place, str):
            return self.place
        require_torch(f"Work of the kind {self.name}")
        module, name = self.place.split(":")
        found: EngineType = getattr(importlib.import_module(module), name)
        return found


def names() -> list[str]:
    """The kinds that this installation can run."""
    return sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))


def find(kind: str) -> Kind:
    """A kind by its name. Raises UnknownKind; errors of the file itself come through."""
    known = names()
    if kind not in known:
        raise UnknownKind(
            f"Nothing here runs work of the kind {kind!r}; known are {', '.join(known)}.",
            way_out="Install the release, or add the file, that carries it.",
            kind=kind,
            known=known,
        )
    module = importlib.import_module(f"{__name__}.{kind}")
    missing = [name for name in ("ENGINE", "MODELS", "TEMPLATE") if not hasattr(module, name)]
    if missing:
        raise UnknownKind(
            f"{module.__file__} does not say {', '.join(missing)}.",
            way_out="See README.md beside it for what a kind's file exports.",
            kind=kind,
            missing=missing,
        )
    return Kind(kind, module.ENGINE, module.MODELS, module.TEMPLATE)


def load(files: ModelFiles, manifest: Manifest, device: str | None = None, known: Speed | None = None) -> Engine:
    """The engine of a workload. Raises UnknownKind, TorchMissing, and as `EngineType.load` does."""
    return find(manifest.kind).engine.load(files, manifest, device, known)


def require_torch(what: str) -> None:
    """Raises TorchMissing where torch is not installed; `what` needs it."""
    if importlib.util.find_spec("torch") is None:
        raise TorchMissing(
            f"{what} needs torch, which is not installed.",
            way_out="Install it (gigabytes): `pip install 'assay[cuda]'`; or serve exact workloads with --device cpu.",
            needs="torch",
        )


def sources() -> dict[str, Source | Built]:
    """All models that can be pulled, by name."""
    return {name: source for kind in names() for name, source in find(kind).models.items()}


def write_manifest(
    kind: str,
    model: str,
    device: str | None,
    *,
    check_price_units: int,
    stored: Stored | None = None,
    **changes: object,
) -> Manifest:
    """A workload's manifest from its kind's template.

    Args:
        kind: see `names`.
        model: one of the kind's models, or any name for a stored one.
        device: of a host of the class that will serve it, see `probe.resolve`; ignored where any host may serve it.
        check_price_units: what a check of one job earns its verifier.
        stored: a model of a store, in place of the kind's own.
        changes: manifest fields in place of the template's.

    Raises:
        UnknownKind: there is no such kind, or it has no such model.
        UnsupportedModel: the stored model has fewer positions or tokens than its workload.
    """
    found = find(kind)
    if stored is None and model not in found.models:
        raise UnknownKind(
            f"The kind {kind} has no model {model!r}; it has {', '.join(sorted(found.models))}.",
            way_out="Name one of them, or a model file of the exact engine in the store (`assay models build`).",
            model=model,
            known=sorted(found.models),
        )
    engine, described = found.engine, stored or found.models[model]
    fields = {
        "kind": kind,
        "model": model,
        "weights_sha256": described.weights_sha256,
        "model_root": described.model_root,
        "tokenizer_sha256": described.tokenizer_sha256,
        "engine": engine.name,
        "engine_version": engine.version,
        "check": engine.check,
        "numeric_class": numeric_class_of(device) if engine.pinned else None,
        "check_price_units": check_price_units,
        **described.wording.fields(),
        **found.template,
    }
    written = Manifest.model_validate(fields | changes)
    if stored is not None:
        require_room(written, stored.positions, stored.vocab_size)
    return written


def sized(kind: str, **most: int | None) -> dict[str, Any]:
    """Fields of a kind's manifest with other limits; None leaves one as it is.

    Args:
        kind: see `names`.
        most: max_texts and max_tokens of an input, and max_new_tokens.
    """
    template = find(kind).template
    limits = template["input"] | {name: most[name] for name in ("max_texts", "max_tokens") if most.get(name)}
    limits["max_bytes"] = template["input"]["max_bytes"] * limits["max_tokens"] // template["input"]["max_tokens"]
    params, new = dict(template["params"]), most.get(MAX_NEW_TOKENS)
    if new is not None:
        if MAX_NEW_TOKENS not in params:
            raise UnknownKind(f"Work of the kind {kind} makes no new tokens.", way_out="Leave --max-new-tokens out.")
        usual = min(new, params[MAX_NEW_TOKENS]["default"])
        params[MAX_NEW_TOKENS] = params[MAX_NEW_TOKENS] | {"maximum": new, "default": usual}
    return {"input": limits, "params": params}


def numeric_class_of(device: str | None) -> str:
    """Hex digest of this host's numeric class on a device. Raises TorchMissing, and as `numeric_class.current` does."""
    require_torch("A numeric class")
    from node_agent.devices import numeric_class  # on torch

    return numeric_class.current(device).digest
