"""Hashes of the contracts, by which a result names the sources it was measured on."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\w+|[^\s\w]', re.DOTALL)


def src_sha256() -> str:
    """Hash of the contracts. A result holds for the sources with this hash."""
    return code_sha256(ROOT.glob("src/**/*.sol"))


def code_sha256(files: Iterable[Path]) -> str:
    """Hex sha256 over the name and the code of each file, in the order of their names."""
    digest = hashlib.sha256()
    for file in sorted(files):
        code = " ".join(code_tokens(file.read_text()))
        digest.update(f"{file.relative_to(ROOT)}\0{code}\0".encode())
    return digest.hexdigest()


def code_tokens(source: str) -> Iterator[str]:
    """The tokens of a Solidity source without comments and layout: these change no result."""
    return (token for token in _TOKEN.findall(source) if not token.startswith(("//", "/*")))
