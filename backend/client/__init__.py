"""What a requester imports: submits orders, checks what comes back, and moves money in and out of lanes.

Trusts no backend: every id, hash, signature, amount and receipt is recomputed here. Imports the agreement only.
"""

from backend.client.jobs import Answer, AssayClient
from backend.client.wallet import LaneState, Wallet

__all__ = ["Answer", "AssayClient", "LaneState", "Wallet"]
