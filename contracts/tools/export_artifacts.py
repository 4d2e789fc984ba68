"""Writes artifacts/<Name>.json, what deployers and clients need of each contract, out of a forge build, and
snapshots/<Name>.storage.json, where our own contracts keep their state.

`runtime` is the code on chain with zeros where immutables go; `immutables` says where that is, in bytes: 32 each.

With --check it writes nothing and fails, naming the files, if the committed ones differ. So nobody changes an ABI or
moves a slot without seeing it. The bytecode carries no metadata, so the same sources give the same bytes in any folder.

With --digests it builds nothing, which takes a minute, and fails if sources or what was written of them changed since.
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
"""Of what the artifacts were built from, and of what was written."""


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
    """Says what is stale. Returns 1 if anything is."""
    if stale:
        sys.stderr.write(f"in contracts, these differ from the sources: {', '.join(stale)}; run: make artifacts\n")
    return 1 if stale else 0


def digests() -> dict[str, str]:
    """sha256 over names and contents: of what the compiler reads, and of what is committed of its work."""
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
    """What belongs into each file. Raises UnknownImmutable."""
    found: dict[Path, Any] = {}
    for name in CONTRACTS:
        built = json.loads((ROOT / "out" / f"{name}.sol" / f"{name}.json").read_text())
        found[ROOT / "artifacts" / f"{name}.json"] = artifact(name, built)
        if name not in IMPORTED:
            found[ROOT / "snapshots" / f"{name}.storage.json"] = storage(built)
    return found


class UnknownImmutable(Exception):
    """A reference to an immutable that no syntax tree declares."""


def build(*options: str) -> None:
    """Compile the contracts alone, in one run of the compiler. Raises CalledProcessError; forge says why itself."""
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
    """One variable, and what its type holds further in. The compiler's ids, which move with any edit, are left out."""
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
    """Name of each immutable -> where its value stands in the code on chain. Raises UnknownImmutable."""
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
