"""The thresholds that come with this release, one JSON array of `Thresholds` per model.

Each names the digest of its data; `python -m bench.native calibrate` recomputes it.
"""

import json
from functools import cache
from importlib import resources

from contracts.protocol.native.thresholds import Thresholds


@cache
def read() -> list[Thresholds]:
    """All thresholds."""
    files = (entry for entry in resources.files(__name__).iterdir() if entry.name.endswith(".json"))
    return [Thresholds.model_validate(each) for file in files for each in json.loads(file.read_text())]


def find(weights_sha256: str, node_class: str, verifier_class: str) -> Thresholds | None:
    """The thresholds of a model and a pair of classes; None if that pair was never calibrated."""
    wanted = (weights_sha256, node_class, verifier_class)
    return next((t for t in read() if (t.weights_sha256, t.node_class, t.verifier_class) == wanted), None)


def is_measured(weights_sha256: str, node_class: str) -> bool:
    """Whether work of this class can be checked by any verifier's class."""
    return any((each.weights_sha256, each.node_class) == (weights_sha256, node_class) for each in read())
