"""Writes artifacts/<Name>.json, what deployers and clients need of each contract, out of a forge build.

With --check it writes nothing and fails, naming the files, if the committed ones differ. The bytecode carries no
metadata, so the same sources give the same bytes in any folder.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ("JobEscrow", "StakeManager", "SlashingCourt", "Contests", "DevToken", "DevWallet", "TimelockController")


def main(arguments: list[str]) -> int:
    """Build, then write or compare. Returns 1 if a committed artifact is stale."""
    build()
    stale = []
    for name in CONTRACTS:
        file = ROOT / "artifacts" / f"{name}.json"
        text = json.dumps(artifact(name), indent=1) + "\n"
        if file.exists() and file.read_text() == text:
            continue
        if "--check" in arguments:
            stale.append(file.name)
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    if stale:
        sys.stderr.write(f"contracts/artifacts differs from the sources: {', '.join(stale)}; run: make artifacts\n")
    return 1 if stale else 0


def build() -> None:
    """Compile everything but the tests. Raises CalledProcessError where forge fails, which says why itself."""
    # The platform's own package: npm may be told to run no install scripts, which the wrapper needs.
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"), None)
    if forge is None:
        raise SystemExit("forge is not installed; run `npm ci` in contracts/")
    subprocess.run([forge, "build", "--skip", "test"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def artifact(name: str) -> dict[str, Any]:
    """A contract's ABI, creation bytecode, and what compiled it."""
    built = json.loads((ROOT / "out" / f"{name}.sol" / f"{name}.json").read_text())
    settings = built["metadata"]["settings"]
    return {
        "contractName": name,
        "abi": built["abi"],
        "bytecode": built["bytecode"]["object"],
        "compiler": {
            "version": built["metadata"]["compiler"]["version"],
            "evmVersion": settings["evmVersion"],
            "optimizer": settings["optimizer"],
            "viaIR": settings.get("viaIR", False),
        },
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
