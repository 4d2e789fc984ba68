"""A node's home: its two keys, its journal, and the settings of `assay node init`, so that no command needs options.

node.json       the hot key, encrypted
owner.json      the owner's key, encrypted; may be kept elsewhere, serving does not need it
settings.json   where chain and backend are, and the deployment as it was found
journal.sqlite  the answers
pulse.json      what a running node did last
run.lock        held by a running node; contains its process id
session         a random name of this home
"""

import fcntl
import json
import os
import platform
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import Field, ValidationError

from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import KeystoreError
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.records import Address, Record
from node_agent.errors import BadSetting, NodeRunning, PasswordMissing

NODE_KEY, OWNER_KEY, SETTINGS, JOURNAL, PULSE, RUN_LOCK, SESSION = (
    "node.json", "owner.json", "settings.json", "journal.sqlite", "pulse.json", "run.lock", "session",
)  # fmt: skip

_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.1
"""Retries, because `is_running` holds the lock for a moment."""
_MACHINE_ID = Path("/etc/machine-id")


class HomeSettings(Record):
    """Settings that `assay node init` was given or found. `stake`: in tokens. `workloads`: empty means all offered."""

    rpc: str
    deployment: Deployment
    backend: str | None = None
    workloads: list[str] = Field(default_factory=list)
    models: str | None = None
    device: str | None = None
    owner_key: str | None = None
    payout: Address | None = None
    stake: str | None = None

    def save(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = home / f"{SETTINGS}.tmp"
        temporary.write_text(self.model_dump_json(indent=2))
        temporary.replace(home / SETTINGS)


def load_settings(home: Path) -> HomeSettings | None:
    """The saved settings, or None if there is no file. Raises BadSetting for a file that cannot be read."""
    path = home / SETTINGS
    try:
        return HomeSettings.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        says = f"{path} has no settings of this release: {error}."
        way_out = "Delete it and run `assay node init --backend URL --rpc URL` again; keys and journal are kept."
        raise BadSetting(says, way_out=way_out, path=str(path)) from error


def password() -> str:
    """The key files' password, from the environment: an argument would show in the list of processes."""
    found = os.environ.get("ASSAY_PASSWORD")
    if not found:
        raise PasswordMissing("ASSAY_PASSWORD is not set.", way_out="Set it to the key file's password.")
    return found


def address_in(path: Path) -> str:
    """The address in a key file; needs no password. Raises KeystoreError."""
    try:
        return "0x" + str(json.loads(path.read_text())["address"]).lower().removeprefix("0x")
    except FileNotFoundError as error:
        raise KeystoreError(f"no key file at {path}", way_out="make one first with `assay node init`") from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise KeystoreError(f"{path} is no key file: {error!r}", way_out="make one with `assay keys new`") from error


@contextmanager
def running(home: Path) -> Iterator[None]:
    """Locks this home while the block lasts; the lock ends with the process, however it ends.

    Raises NodeRunning while another process holds it: two nodes that answer one order are slashed.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (home / RUN_LOCK).open("a+") as lock:
        _take(lock, home)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _take(lock: IO[str], home: Path) -> None:
    for left in reversed(range(_LOCK_TRIES)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if left == 0:
                lock.seek(0)
                pid = lock.read().strip()
                raise NodeRunning(
                    f"Process {pid} serves from {home} already; two nodes with one key are slashed if they give two "
                    "answers to one order.",
                    way_out=f"Leave it running, or stop it (`kill {pid}`) first. A second node needs a key of its own: "
                    "`assay node init --home ANOTHER`.",
                    home=str(home),
                    pid=pid,
                ) from error
            time.sleep(_LOCK_PAUSE_S)
        else:
            return


def is_running(home: Path) -> bool:
    try:
        with (home / RUN_LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def session_id(home: Path) -> str:
    """Names this host and home, the same after a restart: a backend serves a key in one place at a time.

    0x hex of 32 bytes, which reveal nothing about the host.
    """
    path = home / SESSION
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        temporary = home / f"{SESSION}.tmp"
        temporary.write_text(secrets.token_hex(32))
        temporary.replace(path)
    machine = _MACHINE_ID.read_text() if _MACHINE_ID.is_file() else ""
    parts = (path.read_text().strip(), machine.strip(), platform.node(), str(home.resolve()))
    return to_hex(keccak("\n".join(parts).encode()))
