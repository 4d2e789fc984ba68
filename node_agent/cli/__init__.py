"""`assay node`: join as an operator, serve, draw what was earned, and see why. `assay keys`: encrypted key files.

The node's hot key signs commitments. Only `init`, `stake`, `claim`, `settle` and `revoke-key` open the owner's key, so
it may be kept elsewhere (--owner-key). ASSAY_PASSWORD opens both.
"""

from node_agent.cli import canary, doctor, explain, joining, money, serving, status
from node_agent.cli.options import keys_app, node_app

__all__ = ["canary", "doctor", "explain", "joining", "keys_app", "money", "node_app", "serving", "status"]
