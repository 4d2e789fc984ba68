"""The processes of this machine, as /proc tells of them."""

from pathlib import Path


def states(group: int) -> list[str]:
    """The state of each process of a group, but of those that have ended: "R", "S", "T" and so on."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        if int(of) == group and state != "Z":
            found.append(state)
    return found
