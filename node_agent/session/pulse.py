"""A running node's last beat, in a small file that `assay node status` and `doctor` read. Never synced to disk."""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from node_agent.errors import EngineFailed

log = logging.getLogger(__name__)

Beat = Callable[[str, str], None]
"""Receives what a node does (working | no_job | delivered | the code of an error), and about what."""


@dataclass(frozen=True)
class LastBeat:
    """`at_s`: Unix seconds. `state`: see Beat. `detail`: an order id, or an error's message. `served`, `failed`: jobs
    that were delivered, and whose engine failed, since the node started. `speeds`: of each workload, in words."""

    at_s: int
    pid: int
    state: str
    detail: str
    served: int
    failed: int = 0
    speeds: tuple[str, ...] = ()


class Pulse:
    """Writes beats to a file. Called from several threads. `speeds`: see LastBeat."""

    def __init__(self, path: Path, speeds: Sequence[str] = ()) -> None:
        self._path, self._speeds, self._served, self._failed, self._is_lost = path, tuple(speeds), 0, 0, False

    def __call__(self, state: str, detail: str = "") -> None:
        self._served += state == "delivered"
        self._failed += state == EngineFailed.code
        beat = LastBeat(int(time.time()), os.getpid(), state, detail, self._served, self._failed, self._speeds)
        temporary = self._path.with_suffix(f".{os.getpid()}.{id(beat)}")
        try:
            temporary.write_text(json.dumps(asdict(beat)))
            temporary.replace(self._path)
        except OSError as error:  # e.g. a full disk: it is the journal that stops the node then
            temporary.unlink(missing_ok=True)
            log.log(logging.DEBUG if self._is_lost else logging.WARNING, "%s cannot be written: %s", self._path, error)
            self._is_lost = True
        else:
            self._is_lost = False


def last_beat(path: Path) -> LastBeat | None:
    """The newest beat, or None if none can be read."""
    try:
        return LastBeat(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):  # never ran, or another release's file
        return None
