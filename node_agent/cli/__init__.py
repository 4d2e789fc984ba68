"""`assay node`: join as an operator, serve, draw what was earned, and see why. `assay keys`: encrypted key files.

The node's hot key signs commitments; the owner's key is opened by `init`, `stake`, `claim`, `settle` and `revoke-key`
alone, so it may lie elsewhere (--owner-key). The password of both comes from ASSAY_PASSWORD and from nowhere else.
"""

from node_agent.cli import canary, doctor, explain, joining, money, serving, status
from node_agent.cli.apps import keys_app, node_app

__all__ = ["canary", "doctor", "explain", "joining", "keys_app", "money", "node_app", "serving", "status"]
