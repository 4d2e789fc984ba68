"""ABIs and creation bytecode, generated from the build and committed, so that running needs no compiler."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent.parent / "artifacts"


@dataclass(frozen=True)
class Artifact:
    """One contract's ABI and creation bytecode (0x hex)."""

    name: str
    abi: list[dict[str, Any]]
    bytecode: str


@cache
def artifact(name: str) -> Artifact:
    """The artifact of a contract, e.g. "JobEscrow"."""
    data = json.loads((_FOLDER / f"{name}.json").read_text())
    return Artifact(name, data["abi"], data["bytecode"])


CONTRACTS = ("JobEscrow", "StakeManager", "SlashingCourt", "Contests", "DevToken", "TimelockController")
