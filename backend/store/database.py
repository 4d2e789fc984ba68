"""The unit of work: one session, one transaction, durable when the block is left without an error.

SQLite in WAL mode with synchronous=FULL, so that what was committed survives a crash of the machine. Writers take the
write lock at the start (BEGIN IMMEDIATE): a read that turns into a write later could deadlock against another process.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, inspect
from sqlmodel import Session

from backend.errors import Misconfigured
from backend.store.space import explained
from contracts.protocol.typed_data import VERSION

_MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_TIMEOUT_MS = 15_000
"""How long a process waits for another's write lock; the longest write here is one epoch's rows."""


class Database:
    """The facts' home. `url` is SQLAlchemy's, e.g. sqlite:////home/me/assay.db."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "connect", _configure_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._reader = self._engine.execution_options(assay_reads_only=True)

    @staticmethod
    def at(path: Path) -> "Database":
        """The SQLite database in a file, brought to the current schema."""
        path.parent.mkdir(parents=True, exist_ok=True)
        database = Database(f"sqlite:///{path.absolute()}")
        database.upgrade()
        return database

    def upgrade(self) -> None:
        """Brings the schema to the newest revision. Two processes that start at once wait for each other.

        Raises Misconfigured for a database of another agreement.
        """
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with self._engine.begin() as connection:
            _require_agreement(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """A session that may write, in one transaction: committed at the end, rolled back when an error leaves it.

        Rows stay readable after the end. Whatever acknowledges a write does so after this block. Raises StorageFull.
        """
        with (
            explained(self._engine.url.database),
            Session(self._engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session on one consistent state of the database, that waits for nobody. Nothing may be written in it."""
        with Session(self._reader, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Gives back the connections."""
        self._engine.dispose()


def _require_agreement(connection: Connection) -> None:
    """Raises Misconfigured for a database whose facts were signed under another agreement."""
    if not inspect(connection).has_table("alembic_version"):
        return
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found is not None and not str(found).startswith(f"a{VERSION}_"):
        raise Misconfigured(
            f"the database {connection.engine.url.database} is of agreement 1 (schema {found}), this release is of "
            f"agreement {VERSION}; use the release that made it, or begin with a new --home and a new deployment"
        )


def _configure_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3 itself must not begin transactions; _begin_sqlite does
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={_BUSY_TIMEOUT_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get("assay_reads_only", False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")
