"""Which hosts can run jobs: jobs run in a process confined by Landlock and seccomp, which only Linux has."""

import platform
import sys

from node_agent.errors import HostUnsupported

_MACHINES = ("x86_64", "aarch64")


def require_serving_host() -> None:
    """Called before a key is opened or a model loaded. Raises HostUnsupported."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in _MACHINES:
        raise HostUnsupported(
            f"This host is {sys.platform} on {machine}; jobs run in a process confined by Landlock and "
            "seccomp, which Linux 5.13 and later has on x86-64 and aarch64.",
            way_out="Serve from such a host or a Linux virtual machine. Ordering (`assay jobs`, `assay wallet`) and "
            "auditing (`assay audit`, `assay verify RECEIPT`) work here. `assay models pull` and `assay verify "
            "--job ORDER` need --unconfined here, and a machine without keys: a job's input comes from a stranger.",
            system=sys.platform,
            machine=machine,
        )
