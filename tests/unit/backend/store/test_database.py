"""The unit of work and the schema."""

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData
from sqlmodel import SQLModel, select

from backend.errors import Misconfigured
from backend.store.database import Database, schema_id
from backend.store.tables import WorkloadRow


def workload(name: str, price: int = 1) -> WorkloadRow:
    return WorkloadRow(workload_id=name, manifest=b"{}", fixed_price=price, unit_price=1, max_units=1)


def names(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.exec(select(WorkloadRow.workload_id)))


def test_anotherSchema_isRefused(tmp_path: Path) -> None:
    """Protects operators whose database another release made: it is named at the start, not query by query."""
    file = tmp_path / "assay.db"
    Database.at(file).close()
    Database.at(file).close()
    with sqlite3.connect(file) as made:
        (schema,) = made.execute("PRAGMA user_version").fetchone()
        made.execute(f"PRAGMA user_version = {schema ^ 1}")
    made.close()
    with pytest.raises(Misconfigured, match=r"assay\.db was made by a release of another agreement or schema"):
        Database.at(file)


def test_theSchemaId_followsTheTables() -> None:
    """Protects from tables that change while their databases still pass for the present ones."""
    before = schema_id(SQLModel.metadata)
    changed = MetaData()
    for table in SQLModel.metadata.sorted_tables:
        table.to_metadata(changed)
    assert schema_id(changed) == before
    changed.tables["block"].append_column(Column("later", Integer))
    assert schema_id(changed) != before


def test_starting_twice_at_once(tmp_path: Path) -> None:
    """Protects `serve` and `worker` when they start together on a new folder."""
    found: list[Database] = []
    threads = [threading.Thread(target=lambda: found.append(Database.at(tmp_path / "assay.db"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [names(database) for database in found] == [[]] * 4
    for database in found:
        database.close()


def test_all_or_nothing(tmp_path: Path) -> None:
    """Protects facts from half a unit of work."""
    database = Database.at(tmp_path / "assay.db")

    def fail_halfway() -> None:
        with database.begin() as session:
            session.add(workload("lost"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    with database.begin() as session:
        session.add(workload("kept", price=2**200))
    assert names(database) == ["kept"]
    with database.read() as session:
        kept = session.get(WorkloadRow, "kept")
        assert kept is not None
        assert kept.fixed_price == 2**200, "amounts are exact"
    database.close()


def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    """Protects counts that are read and written in one unit of work: no update is lost, nobody deadlocks."""
    database = Database.at(tmp_path / "assay.db")

    def add_next() -> None:
        for _ in range(5):
            with database.begin() as session:
                count = len(session.exec(select(WorkloadRow)).all())
                session.add(workload(f"{count:03}"))

    threads = [threading.Thread(target=add_next) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(database) == [f"{i:03}" for i in range(20)]
    database.close()


def test_committed_survives_kill(tmp_path: Path) -> None:
    """Protects every acknowledgement: a process that is killed right after a commit loses nothing of it.

    Covers: A45
    """
    script = f"""
import os, signal
from pathlib import Path
from backend.store.database import Database
from backend.store.tables import WorkloadRow
database = Database.at(Path({str(tmp_path)!r}) / "assay.db")
with database.begin() as session:
    session.add(WorkloadRow(workload_id="kept", manifest=b"", fixed_price=1, unit_price=1, max_units=1))
with database.begin() as session:
    session.add(WorkloadRow(workload_id="lost", manifest=b"", fixed_price=1, unit_price=1, max_units=1))
    session.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[4], check=False)
    assert killed.returncode == -9
    database = Database.at(tmp_path / "assay.db")
    assert names(database) == ["kept"]
    database.close()
