"""What a requester imports: submits orders, checks what comes back, and moves money in and out of lanes.

Trusts no backend: every id, hash, signature, amount and receipt is recomputed here. Imports the agreement only. Each
name is loaded when it is first used, so that `assay jobs --help` need not wait for what talks to a chain.
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
    """A public name, from the module that makes it. Raises AttributeError."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)
