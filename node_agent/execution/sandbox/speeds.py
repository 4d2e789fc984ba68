"""What was measured on this host, kept between runs: `<model store>/.speeds.json`.

A figure holds for one host, one version of what computes, one model and one device. Whatever of these changes, it is
measured again; `assay node doctor --measure` forgets them all.
"""

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from node_agent.devices.probe import cpu_facts
from node_agent.execution.engine import Speed
from node_agent.execution.exact import kernels

log = logging.getLogger(__name__)

NAME = ".speeds.json"


class Speeds:
    """The figures of one model store's host."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME

    def known(self, device: str, weights_sha256: str) -> Speed | None:
        """What was measured of a model on a device by this host and version; None if nothing was."""
        found = self._read().get(_key(device, weights_sha256))
        if not isinstance(found, dict) or found.keys() != Speed.__dataclass_fields__.keys():
            return None  # nothing kept, or another release's fields: measured again
        return Speed(**found)

    def keep(self, device: str, weights_sha256: str, speed: Speed) -> None:
        """Writes a figure down. Where the store cannot be written to, it is measured again at the next start."""
        kept, key = self._read(), _key(device, weights_sha256)
        if kept.get(key) == asdict(speed):
            return
        try:
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, prefix=NAME, delete=False) as file:
                json.dump({**kept, key: asdict(speed)}, file, indent=2, sort_keys=True)
            os.replace(file.name, self._path)
        except OSError as error:
            log.warning("this host's speed is not kept, so every start measures it again: %s", error)

    def forget(self) -> None:
        """Deletes all figures, so that the next start measures again."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            found = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError):  # nothing measured yet, or cut off: measured again
            return {}
        return found if isinstance(found, dict) else {}


def _key(device: str, weights_sha256: str) -> str:
    """Of a host, its settings, the kernels' own bytes, a model and a device."""
    libraries = [kernels.library(name) for name in sorted(kernels.NEEDS) if kernels.library(name).is_file()]
    built = hashlib.sha256(b"".join(hashlib.sha256(each.read_bytes()).digest() for each in libraries)).hexdigest()
    facts = [cpu_facts(), sorted(kernels.cpu_flags()), kernels.usable_threads(), os.environ.get("ASSAY_KERNELS"), built]
    said = json.dumps([facts, device, weights_sha256], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()
