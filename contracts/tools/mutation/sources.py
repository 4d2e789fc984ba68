"""The contracts' files, what imports what, and what has to be compiled anew when one of them changes."""

import hashlib
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_IMPORT = re.compile(r'(?<=from )"([^"]+)"')
_NOT_MUTATED = ("src/dev/", "src/interfaces/")


@dataclass(frozen=True)
class Host:
    """A contract that carries the code of a mutated file, in the artifact that the tests take it from."""

    file: str
    contract: str

    @property
    def artifact(self) -> str:
        return f"{posixpath.basename(self.file)}/{self.contract}.json"


# What the tests deploy, and the tests that carry a library in themselves.
HOSTS = (
    *(Host(f"src/{name}.sol", name) for name in ("JobEscrow", "StakeManager", "SlashingCourt", "Contests", "Origin")),
    Host("test/escrow/PackedEpoch.t.sol", "PackedEpochTest"),
    Host("test/Vectors.t.sol", "VectorsTest"),
)


def mutated_files() -> list[str]:
    """Every contract and library of the product."""
    files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("*.sol"))
    return [file for file in files if not file.startswith(_NOT_MUTATED)]


@cache
def text_of(file: str) -> str:
    return (ROOT / file).read_text()


def _resolve(importer: str, path: str) -> str:
    if path.startswith("."):
        return posixpath.normpath(posixpath.join(posixpath.dirname(importer), path))
    return f"node_modules/{path}" if path.startswith("@openzeppelin/") else path


@cache
def closure(file: str) -> frozenset[str]:
    """The file and all that it imports, directly or not."""
    found, todo = {file}, [file]
    while todo:
        importer = todo.pop()
        for path in _IMPORT.findall(text_of(importer)):
            imported = _resolve(importer, path)
            if imported not in found:
                found.add(imported)
                todo.append(imported)
    return frozenset(found)


@cache
def affected(file: str) -> frozenset[str]:
    """The product's files and hosts that carry the code of `file`. What tests share (test/utils) stays as it is."""
    mine = {file}
    candidates = {*mutated_files(), *(host.file for host in HOSTS)}
    while True:
        more = {other for other in candidates - mine if mine & _imports(other)}
        if not more:
            return frozenset(mine)
        mine |= more


def _imports(file: str) -> set[str]:
    return {_resolve(file, path) for path in _IMPORT.findall(text_of(file))}


@cache
def hosts_of(file: str) -> tuple[Host, ...]:
    """The contracts to compile anew when `file` changes."""
    return tuple(host for host in HOSTS if host.file in affected(file))


def copy_under(prefix: str, file: str, text: str) -> dict[str, str]:
    """The changed file and all that carry it, under a path of their own; the rest is shared with other copies. Imports
    that name nothing of the project stay as they are."""
    copies = affected(file)

    def moved(importer: str, match: re.Match[str]) -> str:
        imported = _resolve(importer, match[1])
        return f'"{prefix}/{imported}"' if imported in copies else f'"{imported}"'

    texts = {copy: text if copy == file else text_of(copy) for copy in copies}
    return {
        f"{prefix}/{copy}": _IMPORT.sub(lambda match, copy=copy: moved(copy, match), content)  # type: ignore[misc]
        for copy, content in texts.items()
    }


@cache
def fingerprint(file: str) -> str:
    """Hash of all that goes into the codes of the hosts of `file`, the change left out."""
    return _hash(set().union(*(closure(host.file) for host in hosts_of(file))))


@cache
def product_fingerprint() -> str:
    """Hash of what every test stands on: the contracts, the vectors and forge's settings."""
    files = {*(ROOT / "src").rglob("*.sol"), *(ROOT / "vectors").rglob("*.json"), ROOT / "foundry.toml"}
    return _hash({path.relative_to(ROOT).as_posix() for path in files})


@cache
def test_fingerprints() -> dict[str, str]:
    """Of each test contract the hash of the file that it stands in, of all that this imports, and of what tests share.
    Proofs are no tests."""
    files = [file for file in sorted(_tests() - _tests("symbolic")) if file.endswith(".t.sol")]
    return {
        contract: _hash(closure(file) | _tests("utils"))
        for file in files
        for contract in re.findall(r"^contract (\w+Test)\b", text_of(file), re.MULTILINE)
    }


def _tests(folder: str = "") -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / "test" / folder).rglob("*.sol")}


def _hash(files: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for file in sorted(files):
        digest.update(f"{file}\0{text_of(file)}\0".encode())
    return digest.hexdigest()
