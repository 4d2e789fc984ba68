"""What the doctor finds, and how much is enough."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from contracts.protocol.errors import AssayError

Level = Literal["OK", "WARN", "FAIL"]
MIB = 1 << 20


@dataclass(frozen=True)
class DoctorFinding:
    """One line: `says` what is, or why it is wrong; `mend` what to do."""

    level: Level
    name: str
    says: str
    mend: str = ""


@dataclass(frozen=True)
class Limits:
    """How much is enough. The journal needs kilobytes; the rest of a full disk takes the system down with it.

    `skew_s`: beyond it a backend refuses requests (contracts.protocol.wire.REQUEST_TOLERANCE_S).
    """

    disk_bytes: int = 1024 * MIB
    memory_bytes: int = 1024 * MIB
    head_age_s: int = 300
    skew_s: int = 60
    skew_warn_s: int = 5


def ok(name: str, says: str) -> DoctorFinding:
    """All is well."""
    return DoctorFinding("OK", name, says)


def warn(name: str, says: str, mend: str) -> DoctorFinding:
    """It works, and something should be known."""
    return DoctorFinding("WARN", name, says, mend)


def fail(name: str, says: str, mend: str) -> DoctorFinding:
    """The node cannot earn so."""
    return DoctorFinding("FAIL", name, says, mend)


def tried(name: str, look: Callable[[], list[DoctorFinding]]) -> list[DoctorFinding]:
    """What `look` finds; a known error that ends it is a FAIL in that error's words."""
    try:
        return look()
    except AssayError as error:
        return [fail(name, f"{error.code}: {error.message}", error.way_out)]
    except OSError as error:
        return [fail(name, f"{type(error).__name__}: {error}", "")]


def is_well(findings: list[DoctorFinding]) -> bool:
    """Whether nothing failed."""
    return all(finding.level != "FAIL" for finding in findings)
