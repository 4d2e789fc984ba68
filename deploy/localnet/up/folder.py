"""The folder of a network: whose it is, who runs it, and how it is deleted.

.assay-net/
  network      marks the folder as ours, so that nothing else is ever deleted; holds the program's version
  lock         locked while the network runs; names the process
  client.json  written when the network is founded; how other terminals find it
  chain.json   the chain's state
  deployment.json, manifest.json, backend/ beacon/ verifier/ node/ requester/ logs/
"""

import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from deploy.localnet.up.errors import AlreadyRunning, NotOurs
from deploy.settings import CLIENT_FILE, ClientFile

_MARK, _LOCK, _VERSION = "network", "lock", "1\n"


class Folder:
    """One network's folder, held by this process."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path, self._lock = path, lock

    @staticmethod
    def take(path: Path) -> "Folder":
        """Makes the folder if it is missing, and locks it. The lock ends with the process, however it ends.

        Raises NotOurs, AlreadyRunning.
        """
        path = path.resolve()
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()) and not (path / _MARK).is_file():
            raise NotOurs(path)
        (path / _MARK).write_text(_VERSION)
        lock = (path / _LOCK).open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            lock.close()
            raise AlreadyRunning(path, pid) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        return Folder(path, lock)

    @property
    def is_founded(self) -> bool:
        """Whether a network was founded here to the end."""
        return (self.path / CLIENT_FILE).is_file()

    @property
    def is_empty(self) -> bool:
        """Whether the folder holds only our own marks."""
        return not self._contents()

    @property
    def chain_file(self) -> Path:
        """The chain's state."""
        return self.path / "chain.json"

    def clear(self) -> None:
        """Deletes the network; the lock stays held."""
        for entry in self._contents():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def write_client_file(self, file: ClientFile) -> None:
        """Makes the network findable, and founded. Writes the whole file or none."""
        temporary = self.path / f"{CLIENT_FILE}.tmp"
        temporary.write_text(file.model_dump_json(indent=2))
        temporary.replace(self.path / CLIENT_FILE)

    def release(self) -> None:
        self._lock.close()

    def _contents(self) -> list[Path]:
        return [entry for entry in self.path.iterdir() if entry.name not in (_MARK, _LOCK)]
