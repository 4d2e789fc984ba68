"""The folder of this test run. It imports nothing, for every test passes here."""

from pathlib import Path

_kept_in: list[Path] = []


def keep_in(folder: Path) -> None:
    """Where this run keeps what is made once; every process of the run names the same folder."""
    _kept_in[:] = [folder]


def kept_in() -> Path:
    """Where it is. Outside pytest there is none."""
    assert _kept_in, "tests/conftest.py says where"
    return _kept_in[0]
