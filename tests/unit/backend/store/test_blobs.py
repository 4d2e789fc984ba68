"""Blobs: bytes by their hash and nothing else."""

import threading
from pathlib import Path

import pytest

from backend.errors import BadBlobName, BlobTooLarge, UnknownBlob
from backend.store.blobs import BlobStore
from contracts.protocol.hashing import keccak, to_hex

GOOD = to_hex(keccak(b"x"))
BAD_NAMES = [
    "",
    "..",
    "../assay.db",
    "/etc/passwd",
    "0x" + "../" * 21 + "x",
    GOOD.upper(),
    GOOD[2:],
    GOOD + "\n",
    GOOD + "/..",
    GOOD + "\0",
    "0x" + "g" * 64,
    "file:///etc/passwd",
    "http://127.0.0.1/" + "a" * 49,
    "%2e%2e%2f" + "a" * 57,
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_only_hashes_are_names(tmp_path: Path, name: str) -> None:
    """Protects the machine's files and network: a name is a hash or nothing. Covers: A49"""
    blobs = BlobStore(tmp_path / "blobs", max_bytes=10)
    for use in (blobs.get, blobs.has):
        with pytest.raises(BadBlobName):
            use(name)


def test_put_and_get(tmp_path: Path) -> None:
    """Protects inputs and outputs: what was put is there for the next process, once, and nothing half-written."""
    folder = tmp_path / "blobs"
    blobs = BlobStore(folder, max_bytes=10)
    with pytest.raises(UnknownBlob, match=GOOD):
        blobs.get(GOOD)
    threads = [threading.Thread(target=blobs.put, args=(b"x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert blobs.put(b"x") == GOOD
    assert BlobStore(folder, max_bytes=10).get(GOOD) == b"x"
    assert [path.name for path in folder.iterdir()] == [GOOD]


def test_size_limit(tmp_path: Path) -> None:
    """Protects the disk from large bodies."""
    blobs = BlobStore(tmp_path, max_bytes=10)
    blobs.put(b"0123456789")
    with pytest.raises(BlobTooLarge, match="11 bytes"):
        blobs.put(b"0123456789a")
    assert len(list(tmp_path.iterdir())) == 1
