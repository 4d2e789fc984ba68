"""The thresholds that come with this release, one file a model: a JSON array of `Thresholds`.

Each names the digest of the data that it was computed from; `python -m bench.native calibrate` computes it again.
"""

import json
from functools import cache
from importlib import resources

from contracts.protocol.native.thresholds import Thresholds


@cache
def read() -> list[Thresholds]:
    """All of them."""
    files = (entry for entry in resources.files(__name__).iterdir() if entry.name.endswith(".json"))
    return [Thresholds.model_validate(each) for file in files for each in json.loads(file.read_text())]


def find(weights_sha256: str, node_class: str, verifier_class: str) -> Thresholds | None:
    """Those of a model and a pair of classes; None where that pair was never calibrated, so nothing can be said."""
    wanted = (weights_sha256, node_class, verifier_class)
    return next((t for t in read() if (t.weights_sha256, t.node_class, t.verifier_class) == wanted), None)


def is_measured(weights_sha256: str, node_class: str) -> bool:
    """Whether work of this class of a model can be checked: there are thresholds of it and some verifier's class."""
    return any((each.weights_sha256, each.node_class) == (weights_sha256, node_class) for each in read())
