"""Blobs: bytes by their hash and nothing else."""

import threading
from pathlib import Path

import pytest

from backend.errors import BadBlobName, BlobMissing, BlobTooLarge, UnknownBlob
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
    blobs = BlobStore(tmp_path / "blobs", max_bytes=10, max_loose_bytes=100_000)
    for use in (blobs.get, blobs.has):
        with pytest.raises(BadBlobName):
            use(name)


def test_put_and_get(tmp_path: Path) -> None:
    """Protects inputs and outputs: what was put is there for the next process, once, and nothing half-written."""
    folder = tmp_path / "blobs"
    blobs = BlobStore(folder, max_bytes=10, max_loose_bytes=100_000)
    with pytest.raises(UnknownBlob, match=GOOD):
        blobs.get(GOOD)
    threads = [threading.Thread(target=blobs.put, args=(b"x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert blobs.put(b"x") == GOOD
    assert BlobStore(folder, max_bytes=10, max_loose_bytes=100_000).get(GOOD) == b"x"
    assert [path.name for path in folder.iterdir() if path.is_file()] == [GOOD]


def test_size_limit(tmp_path: Path) -> None:
    """Protects the disk from large bodies."""
    blobs = BlobStore(tmp_path, max_bytes=10, max_loose_bytes=100_000)
    blobs.put(b"0123456789")
    with pytest.raises(BlobTooLarge, match="11 bytes"):
        blobs.put(b"0123456789a")
    assert len([path for path in tmp_path.iterdir() if path.is_file()]) == 1


def test_loose_bytes_are_bounded(tmp_path: Path) -> None:
    """Protects the disk: what nothing names makes room, oldest first; what is named stays. Covers: A52, A58"""
    blobs = BlobStore(tmp_path, max_bytes=10_000, max_loose_bytes=4 * 4096)
    names = [blobs.hold(b"%d" % number) for number in range(4)]
    blobs.keep_named("a field", names[1])
    newest = [blobs.hold(b"%d" % number) for number in range(4, 7)]
    assert [blobs.has(name) for name in names] == [False, True, False, True]
    assert all(map(blobs.has, newest))
    assert blobs.hold(b"1") == names[1]
    assert len(list((tmp_path / "loose").iterdir())) == 4
    with pytest.raises(BlobMissing, match="a field"):
        blobs.keep_named("a field", names[0])
    again = BlobStore(tmp_path, max_bytes=10_000, max_loose_bytes=2 * 4096)
    again.hold(b"after a restart")
    assert len(list((tmp_path / "loose").iterdir())) == 2
    assert again.get(names[1]) == b"1"


def test_files_that_are_not_their_names(tmp_path: Path) -> None:
    """Protects the machine's files: a link or other bytes under a hash count as lost, and are mended. Covers: A49"""
    secret, blobs = tmp_path / "secret", BlobStore(tmp_path / "blobs", max_bytes=10, max_loose_bytes=100_000)
    secret.write_bytes(b"secret")
    for folder in (tmp_path / "blobs", tmp_path / "blobs" / "loose"):
        (folder / GOOD).symlink_to(secret)
        with pytest.raises(UnknownBlob):
            blobs.get(GOOD)
        (folder / GOOD).unlink()
        (folder / GOOD).write_bytes(b"y")
        with pytest.raises(UnknownBlob):
            blobs.get(GOOD)
    assert blobs.put(b"x") == GOOD
    assert blobs.get(GOOD) == b"x"
    assert secret.read_bytes() == b"secret"
