"""What this engine asks of a workload's manifest.

The manifest itself, its canonical JSON and its workload id are part of the agreement and live in
`contracts.protocol.manifest`; they are named here so that those who only execute need one import.
"""

from contracts.protocol.manifest import IntegerRange, Manifest
from node_agent.execution.errors import EngineMismatch

__all__ = ["IntegerRange", "Manifest", "new_tokens_range"]

MAX_NEW_TOKENS = "max_new_tokens"


def new_tokens_range(manifest: Manifest) -> IntegerRange:
    """How many completion tokens an order may ask for, the end token included.

    Raises:
        EngineMismatch: the manifest's parameters are not exactly `max_new_tokens`, from 1 up.
    """
    allowed = manifest.params.get(MAX_NEW_TOKENS)
    if set(manifest.params) != {MAX_NEW_TOKENS} or allowed is None or not 1 <= allowed.minimum <= allowed.maximum:
        raise EngineMismatch(
            f"A generation workload has one parameter, {MAX_NEW_TOKENS} with 1 <= minimum <= maximum; "
            f"this one has {dict(manifest.params)}.",
            way_out="Correct the manifest's params; its workload id changes with them.",
            params=dict(manifest.params),
        )
    return allowed
