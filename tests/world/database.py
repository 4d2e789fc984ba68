"""Databases of the current schema in half a millisecond: made once in a process, and copied for each test."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.store.database import Database


def fresh_database(file: Path) -> Database:
    """An empty database in `file`, of which there is none yet."""
    file.write_bytes(_made())
    return Database(file)


@cache
def _made() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "assay.db"
        Database.at(file).close()
        assert sorted(path.name for path in file.parent.iterdir()) == [file.name], "all of it is in one file"
        return file.read_bytes()
