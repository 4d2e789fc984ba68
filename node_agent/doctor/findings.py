"""The doctor's findings and limits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from contracts.protocol.errors import AssayError

Level = Literal["OK", "WARN", "FAIL"]
MIB = 1 << 20


@dataclass(frozen=True)
class DoctorFinding:
    """One line: `says` what was found, `fix` what to do about it."""

    level: Level
    name: str
    says: str
    fix: str = ""


@dataclass(frozen=True)
class Limits:
    """Limits that suffice. The journal itself needs only kilobytes.

    `skew_s`: beyond it a backend refuses requests (contracts.protocol.wire.REQUEST_TOLERANCE_S).
    """

    disk_bytes: int = 1024 * MIB
    memory_bytes: int = 1024 * MIB
    head_age_s: int = 300
    skew_s: int = 60
    skew_warn_s: int = 5


def ok(name: str, says: str) -> DoctorFinding:
    return DoctorFinding("OK", name, says)


def warn(name: str, says: str, fix: str) -> DoctorFinding:
    return DoctorFinding("WARN", name, says, fix)


def fail(name: str, says: str, fix: str) -> DoctorFinding:
    return DoctorFinding("FAIL", name, says, fix)


def tried(name: str, look: Callable[[], list[DoctorFinding]]) -> list[DoctorFinding]:
    """The findings of `look`; an error becomes a FAIL with the error's text."""
    try:
        return look()
    except AssayError as error:
        return [fail(name, f"{error.code}: {error.message}", error.way_out)]
    except OSError as error:
        return [fail(name, f"{type(error).__name__}: {error}", "")]


def is_well(findings: list[DoctorFinding]) -> bool:
    return all(finding.level != "FAIL" for finding in findings)
