"""Runs Slither over src and compares what it finds of high or medium impact with tools/slither.json.

There every finding that stands is named, without line numbers, with the reason why it stands. One that is not there, or
one there that Slither finds no more, is an error.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contracts.tools.product import src_sha256

ROOT = Path(__file__).resolve().parent.parent
KNOWN = ROOT / "tools" / "slither.json"
RESULT = ROOT.parent / "bench" / "results" / "raw" / "slither.json"
BUILD = "out-slither"


def main() -> int:
    """Returns 1 if a finding is not explained, or an explanation has no finding."""
    known = {(entry["check"], entry["finding"]): entry["why"] for entry in json.loads(KNOWN.read_text())}
    findings = find()
    serious = {(f["check"], plain(f["description"])) for f in findings if f["impact"] in ("High", "Medium")}
    unexplained = sorted(serious - known.keys())
    gone = sorted(known.keys() - serious)
    summary = {
        "src_sha256": src_sha256(),
        "slither": version("slither-analyzer"),
        "findings": dict(sorted(Counter(f["impact"] for f in findings).items())),
        "explained": len(serious & known.keys()),
        "unexplained": len(unexplained),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(summary, indent=1) + "\n")
    sys.stdout.write(f"slither: {json.dumps(summary)}\n")
    for check, finding in unexplained:
        sys.stderr.write(f"unexplained {check}: {finding}\n")
    for check, finding in gone:
        sys.stderr.write(f"explained in tools/slither.json, but found no more {check}: {finding}\n")
    return 1 if unexplained or gone else 0


def find() -> list[dict[str, Any]]:
    """Slither's findings on a fresh build. Raises SystemExit with its words where it fails."""
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin"))
    environment = os.environ | {"FOUNDRY_PROFILE": "symbolic", "FOUNDRY_OUT": BUILD}
    environment["PATH"] = f"{forge}:{environment['PATH']}"
    build = [str(forge / "forge"), "build", "--build-info", "--skip", "test", "script", "--force"]
    built = subprocess.run(build, cwd=ROOT, env=environment, capture_output=True, text=True)
    if built.returncode != 0:
        raise SystemExit(built.stdout + built.stderr)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "slither.json"
        command = [
            str(Path(sys.executable).parent / "slither"),
            ".",
            "--ignore-compile",
            "--foundry-out-directory",
            BUILD,
        ]
        command += ["--filter-paths", "node_modules", "--json", str(report)]
        # Its exit status says that it found something; whether it ran is in the report.
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        result: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    if not result.get("success"):
        raise SystemExit(done.stdout + done.stderr)
    findings: list[dict[str, Any]] = result["results"].get("detectors", [])
    return findings


def plain(description: str) -> str:
    """A finding's first line without positions, which move with every edit."""
    return re.sub(r" \([^()]*#[^()]*\)", "", description.strip().splitlines()[0])


if __name__ == "__main__":
    sys.exit(main())
