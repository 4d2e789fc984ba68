"""Each place that writes, on a full disk: its own clear error, nothing by half, and the same call works afterwards."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlmodel import select

from backend.errors import StorageFull
from backend.store.blobs import BlobStore
from backend.store.database import Database
from backend.store.tables import LogLineRow
from contracts.protocol.records import Lease, Opening, Order, Terms
from contracts.protocol.wire import LeaseGrant
from node_agent.errors import JournalFull
from node_agent.session.journal import NodeJournal
from tests.survival.small_disk import SmallDisk, small_disk
from tests.world.node_fakes import fake_deployment
from verifier.errors import VerifierJournalFull
from verifier.verdicts.journal import VerifierAnswer, VerifierJournal

ZERO = "0x" + "00" * 32


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Two megabytes of a real file system; root of a container without the right to mount has none."""
    with small_disk(tmp_path / "disk", 2) as made:
        if not made.is_real:
            pytest.skip("no file system can be mounted here; test_storage.py runs with a limit on file sizes instead")
        yield made


def test_blobs(disk: SmallDisk) -> None:
    """A blob is there whole or not at all, and the error names the folder and the way out. Covers: A45"""
    store = BlobStore(disk.folder / "blobs", max_bytes=10**6, max_loose_bytes=10**6)
    disk.fill()
    with pytest.raises(StorageFull, match=str(disk.folder)) as told:
        store.put(bytes(100_000))
    assert "free space" in str(told.value)
    left = [file for file in (disk.folder / "blobs").rglob("*") if file.is_file()]
    assert left == [], "no half-written file takes room"
    disk.free()
    assert store.get(store.put(bytes(100_000))) == bytes(100_000)


def test_database(disk: SmallDisk) -> None:
    """A transaction that finds no room leaves nothing behind, and the database stays readable. Covers: A45"""
    database = Database.at(disk.folder / "assay.db")
    disk.fill()
    with pytest.raises(StorageFull, match=r"assay\.db"), database.begin() as session:
        session.add_all(LogLineRow(epoch_id=1, position=i, line=bytes(1000)) for i in range(500))
    with database.read() as session:
        assert session.exec(select(LogLineRow)).all() == []
    disk.free()
    with database.begin() as session:
        session.add(LogLineRow(epoch_id=1, position=0, line=b"now"))
    database.close()


def test_journal_of_a_node(disk: SmallDisk) -> None:
    """No job is taken while the journal has no room for an answer. Covers: A45, A56"""
    journal = NodeJournal(
        disk.folder / "journal.sqlite", node="0x" + "11" * 20, domain=fake_deployment(ZERO[:42]).domain
    )
    journal.require_room()
    disk.fill()
    with pytest.raises(JournalFull, match=r"journal\.sqlite"):
        journal.require_room()
    taken: list[int] = []
    with pytest.raises(JournalFull, match="no room"):
        _until_refused(taken, lambda number: journal.lend(grant(number), 1))
    assert journal.lent(grant(len(taken)).lease.order_id) is None
    disk.free()
    journal.lend(grant(len(taken)), 1)
    journal.require_room()
    journal.close()


def grant(number: int) -> LeaseGrant:
    """A lease of some order."""
    terms = Terms(
        workload_id=ZERO, prompt_root=ZERO, texts_hash=ZERO, fixed_price=1, unit_price=1, max_price=1, deadline=1,
        salt=number,
    )  # fmt: skip
    address, signature = "0x" + "11" * 20, "0x" + "22" * 65
    return LeaseGrant(
        lease=Lease(order_id=f"0x{number:064x}", node=address, expires=1), lease_signature=signature,
        order=Order(requester=address, spend_cap=1, terms=terms), signer=address, order_signature=signature,
    )  # fmt: skip


def test_journal_of_a_verifier(disk: SmallDisk) -> None:
    """An answer that cannot be written down is not recorded, so no verdict on it is signed. Covers: A45"""
    journal = VerifierJournal(disk.folder / "journal.sqlite")
    disk.fill()
    opening, taken = Opening(trace_hash=ZERO, output_root=ZERO, units=1), list[int]()
    with pytest.raises(VerifierJournalFull, match=r"journal\.sqlite"):
        _until_refused(taken, lambda number: journal.record(VerifierAnswer(digest(number), 1, number, opening, True)))
    assert journal.answer(digest(len(taken))) is None
    disk.free()
    journal.record(VerifierAnswer(digest(len(taken)), 1, len(taken), opening, True))
    journal.close()


def digest(number: int) -> bytes:
    """Of some commitment."""
    return number.to_bytes(32, "big")


def _until_refused(taken: list[int], write: Callable[[int], None]) -> None:
    """Writes on and on, for a file may have some room of its own; `taken` are those that were not refused."""
    for number in range(2000):
        write(number)
        taken.append(number)
