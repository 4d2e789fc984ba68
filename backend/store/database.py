"""The unit of work: one session, one transaction, durable when the block is left without an error.

SQLite in WAL mode with synchronous=FULL, so that what was committed survives a crash of the machine. Writers take the
write lock at the start (BEGIN IMMEDIATE): a read that turns into a write later could deadlock against another process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

from sqlalchemy import Connection, MetaData, create_engine, event, inspect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlmodel import Session, SQLModel

import backend.store.chain_tables
import backend.store.tables  # noqa: F401  (both register their tables)
from backend.errors import Misconfigured
from backend.store.space import explained
from contracts.protocol.typed_data import VERSION

_BUSY_TIMEOUT_MS = 15_000
"""A process waits so long for another's write lock; the longest write here is one epoch's rows."""


class Database:
    """The facts in an SQLite file. `at` makes its tables; the constructor expects them to be there."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._engine = create_engine(f"sqlite:///{self._path}")
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)
        self._reader = self._engine.execution_options(assay_reads_only=True)

    @staticmethod
    def at(path: Path) -> "Database":
        """The database in a file, with its tables. Two processes that start at once wait for each other.

        Raises Misconfigured for a file whose tables are another release's: nothing is migrated before a first release.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        database = Database(path)
        with database.begin() as session:
            _require_schema(session.connection(), database._path)
        return database

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A session that may write, in one transaction: committed at the end, rolled back when an error leaves it.

        Rows stay readable after the end. Whatever acknowledges a write does so after this block. Raises StorageFull.
        """
        with explained(self._path), Session(self._engine, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session on one consistent state of the database, that waits for nobody. Nothing may be written in it."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self._engine.dispose()


def _require_schema(connection: Connection, path: Path) -> None:
    """Makes the tables of a new file. Raises Misconfigured where there are others."""
    found, wanted = connection.exec_driver_sql("PRAGMA user_version").scalar(), schema_id(SQLModel.metadata)
    if found == 0 and not inspect(connection).get_table_names():
        SQLModel.metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {wanted}")
    elif found != wanted:
        raise Misconfigured(
            f"the database {path} was made by a release of another agreement or schema (this one's are agreement "
            f"{VERSION}, schema {wanted})",
            way_out="use the release that made it, or begin with a new --home and a new deployment",
        )


def schema_id(metadata: MetaData) -> int:
    """Identifies this release's agreement and tables, in the 31 bits that SQLite stores in a file's header."""
    tables = metadata.sorted_tables
    indexes = sorted((index for table in tables for index in table.indexes), key=lambda index: str(index.name))
    made = [str(VERSION), *(str(CreateTable(table)) for table in tables), *(str(CreateIndex(one)) for one in indexes)]
    return crc32("\n".join(made).encode()) & 0x7FFFFFFF


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 itself must not begin transactions; _begin does
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get("assay_reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
