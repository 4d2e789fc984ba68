"""ABIs and bytecode, generated from the build and committed, so that running needs no compiler."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent.parent / "artifacts"


@dataclass(frozen=True)
class Artifact:
    """One contract's ABI, creation bytecode (0x hex), and the code that is on chain then.

    `runtime` has zeros where immutables stand; `immutables`: name -> the offsets of its 32-byte values.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: str
    runtime: bytes
    immutables: dict[str, list[int]]


@cache
def artifact(name: str) -> Artifact:
    """The artifact of a contract, e.g. "JobEscrow"."""
    data = json.loads((_FOLDER / f"{name}.json").read_text())
    return Artifact(name, data["abi"], data["bytecode"], bytes.fromhex(data["runtime"][2:]), data["immutables"])


CONTRACTS = ("JobEscrow", "StakeManager", "SlashingCourt", "Contests", "DevToken", "TimelockController", "Origin")
