"""`assay node doctor`: checks everything a node needs; each finding has its cause and its fix. Changes nothing.

FAIL: the node cannot earn. WARN: it can, with a restriction.
"""

from node_agent.doctor.account import look_at_account
from node_agent.doctor.findings import DoctorFinding, Limits, is_well
from node_agent.doctor.host import look_at_host
from node_agent.doctor.network import look_at_network
from node_agent.doctor.work import look_at_work

__all__ = ["DoctorFinding", "Limits", "is_well", "look_at_account", "look_at_host", "look_at_network", "look_at_work"]
