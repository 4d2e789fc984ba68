"""The requester's library: submits orders, checks the answers, and moves money into and out of lanes.

It trusts no backend: every id, hash, signature, amount and receipt is recomputed here. Names are loaded on first use,
so that `assay jobs --help` does not wait for the code that talks to a chain.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.client.jobs import Answer, AssayClient
    from backend.client.wallet import Wallet
    from contracts.protocol.lane import Lane

__all__ = ["Answer", "AssayClient", "Lane", "Wallet"]

_WHERE = {
    "Answer": "backend.client.jobs",
    "AssayClient": "backend.client.jobs",
    "Lane": "contracts.protocol.lane",
    "Wallet": "backend.client.wallet",
}


def __getattr__(name: str) -> Any:
    """Loads a public name from its module. Raises AttributeError."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
