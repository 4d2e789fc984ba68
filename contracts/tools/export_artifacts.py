"""Builds with forge and writes artifacts/<Name>.json, what deployers and clients need of each contract, and
snapshots/<Name>.storage.json, the storage layout of our contracts.

`runtime` is the code on chain with zeros for immutables; `immutables` has the byte offsets of these, 32 bytes each.

With --check it writes nothing and fails with the names of committed files that differ, so that nobody changes an ABI or
moves a slot unnoticed. The bytecode has no metadata: the same sources give the same bytes in any folder.

With --digests it does not build, which takes a minute, and fails if sources or written files have changed since.
"""

import hashlib
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = (
    "JobEscrow", "StakeManager", "SlashingCourt", "Contests", "DevToken", "DevWallet", "TimelockController", "Origin",
)  # fmt: skip
IMPORTED = ("TimelockController",)
DIGESTS = ROOT / "snapshots" / "artifacts.digests.json"
"""Digests of the sources and of the written files."""


def main(arguments: list[str]) -> int:
    """Build, then write or compare. Returns 1 if a committed artifact is stale."""
    if "--digests" in arguments:
        return told([] if DIGESTS.exists() and json.loads(DIGESTS.read_text()) == digests() else [DIGESTS.name])
    build()
    try:
        found = files()
    except UnknownImmutable:  # a build of some files counts syntax nodes differently than that of all
        build("--force")
        declared_immutables.cache_clear()
        found = files()
    stale = []
    for file, content in found.items():
        text = json.dumps(content, indent=1) + "\n"
        if file.exists() and file.read_text() == text:
            continue
        if "--check" in arguments:
            stale.append(file.name)
        else:
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
    if "--check" not in arguments:
        DIGESTS.write_text(json.dumps(digests(), indent=1) + "\n")
    return told(stale)


def told(stale: list[str]) -> int:
    """Prints what is stale. Returns 1 if anything is."""
    if stale:
        sys.stderr.write(f"in contracts, these differ from the sources: {', '.join(stale)}; run: make artifacts\n")
    return 1 if stale else 0


def digests() -> dict[str, str]:
    """sha256 over names and contents of the compiler's inputs, and of the committed outputs."""
    compiled = [
        *(ROOT / "src").rglob("*.sol"),
        ROOT / "foundry.toml",
        ROOT / "package-lock.json",
        ROOT / "tools/solc.js",
    ]
    written = [*(ROOT / "artifacts").glob("*.json"), *(ROOT / "snapshots").glob("*.storage.json")]
    return {"sources": _digest(compiled), "artifacts": _digest(written)}


def _digest(paths: list[Path]) -> str:
    found = hashlib.sha256()
    for path in sorted(paths):
        found.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def files() -> dict[Path, Any]:
    """The content of each file. Raises UnknownImmutable."""
    found: dict[Path, Any] = {}
    for name in CONTRACTS:
        built = json.loads((ROOT / "out" / f"{name}.sol" / f"{name}.json").read_text())
        found[ROOT / "artifacts" / f"{name}.json"] = artifact(name, built)
        if name not in IMPORTED:
            found[ROOT / "snapshots" / f"{name}.storage.json"] = storage(built)
    return found


class UnknownImmutable(Exception):
    """A referenced immutable that no syntax tree declares."""


def build(*options: str) -> None:
    """Compiles the contracts alone, in one compiler run. Raises CalledProcessError; forge prints the reason."""
    # The platform's own package: npm may be told to run no install scripts, which the wrapper needs.
    forge = next((ROOT / "node_modules" / "@foundry-rs").glob("forge-*/bin/forge"), None)
    if forge is None:
        raise SystemExit("forge is not installed; run `npm ci` in contracts/")
    subprocess.run([forge, "build", "src", *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def storage(built: dict[str, Any]) -> list[dict[str, Any]]:
    """Each variable's slot, its offset in bytes, and its type; of structs, their members'."""
    layout = built["storageLayout"]
    return [place(variable, layout["types"]) for variable in layout["storage"]]


def place(variable: dict[str, Any], types: dict[str, Any]) -> dict[str, Any]:
    """One variable and its members, without the compiler's ids, which change with every edit."""
    of = types[variable["type"]]
    found = {
        "label": variable["label"],
        "slot": int(variable["slot"]),
        "offset": variable["offset"],
        "type": of["label"],
    }
    while "value" in of:
        of = types[of["value"]]
    return found | ({"members": [place(member, types) for member in of["members"]]} if "members" in of else {})


def artifact(name: str, built: dict[str, Any]) -> dict[str, Any]:
    """A contract's ABI, creation bytecode, code on chain, and what compiled it. Raises UnknownImmutable."""
    settings = built["metadata"]["settings"]
    return {
        "contractName": name,
        "abi": built["abi"],
        "bytecode": built["bytecode"]["object"],
        "runtime": built["deployedBytecode"]["object"],
        "immutables": immutables(name, built["deployedBytecode"].get("immutableReferences") or {}),
        "compiler": {
            "version": built["metadata"]["compiler"]["version"],
            "evmVersion": settings["evmVersion"],
            "optimizer": settings["optimizer"],
            "viaIR": settings.get("viaIR", False),
        },
    }


def immutables(name: str, references: dict[str, list[dict[str, int]]]) -> dict[str, list[int]]:
    """Immutable -> offsets of its value in the code on chain. Raises UnknownImmutable."""
    names = declared_immutables()
    unknown = references.keys() - names.keys()
    if unknown:
        raise UnknownImmutable(f"{name}: {', '.join(sorted(unknown))}")
    found = {names[node]: [place["start"] for place in places] for node, places in references.items()}
    return dict(sorted(found.items()))


@cache
def declared_immutables() -> dict[str, str]:
    """Syntax node -> name of each immutable that the contracts and OpenZeppelin's declare.

    The profile for tests compiles by itself and counts for itself.
    """
    found: dict[str, str] = {}
    for file in (ROOT / "out").glob("*.sol/*.json"):
        tree = json.loads(file.read_text()).get("ast") or {}
        is_code = tree.get("absolutePath", "").startswith(("src/", "node_modules/@openzeppelin/"))
        if is_code and not file.name.endswith(".tests.json"):
            for contract in tree["nodes"]:
                nodes = [node for node in contract.get("nodes", ()) if node.get("mutability") == "immutable"]
                found |= {str(node["id"]): node["name"] for node in nodes}
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
