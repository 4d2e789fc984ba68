"""Databases of the current schema in half a millisecond: migrated once in a process, and copied for each test."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from backend.store.database import Database


def fresh_database(file: Path) -> Database:
    """An empty database in `file`, of which there is none yet. Migrations have tests of their own."""
    file.write_bytes(_migrated())
    return Database(f"sqlite:///{file.absolute()}")


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "assay.db"
        Database.at(file).close()
        assert sorted(path.name for path in file.parent.iterdir()) == [file.name], "all of it is in one file"
        return file.read_bytes()
