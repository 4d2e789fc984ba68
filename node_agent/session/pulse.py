"""What a running node did last, in a small file that `assay node status` and `doctor` read.

Written often and never synced: losing it loses nothing.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

log = logging.getLogger(__name__)

State = str
"""working | no_job | delivered | the code of an error"""

Beat = Callable[[State, str], None]
"""Hears what a node does, and about what."""


@dataclass(frozen=True)
class LastBeat:
    """`at_s`: Unix seconds; `detail`: an order id, or the words of an error; `served`: jobs since the node started.
    `speeds`: how fast it computes each workload, in words."""

    at_s: int
    pid: int
    state: State
    detail: str
    served: int
    speeds: tuple[str, ...] = ()


class Pulse:
    """Writes beats to a file. Called from several threads. `speeds`: see LastBeat."""

    def __init__(self, path: Path, speeds: Sequence[str] = ()) -> None:
        self._path, self._speeds, self._served, self._is_lost = path, tuple(speeds), 0, False

    def __call__(self, state: State, detail: str = "") -> None:
        """One beat."""
        self._served += state == "delivered"
        beat = LastBeat(int(time.time()), os.getpid(), state, detail, self._served, self._speeds)
        temporary = self._path.with_suffix(f".{os.getpid()}.{id(beat)}")
        try:
            temporary.write_text(json.dumps(asdict(beat)))
            temporary.replace(self._path)
        except OSError as error:  # e.g. a full disk: the journal stops the node if it must stop
            temporary.unlink(missing_ok=True)
            log.log(logging.DEBUG if self._is_lost else logging.WARNING, "%s cannot be written: %s", self._path, error)
            self._is_lost = True
        else:
            self._is_lost = False


def silent(state: State, detail: str = "") -> None:
    """A beat that nobody hears."""


def last_beat(path: Path) -> LastBeat | None:
    """The newest beat, or None where there is none that can be read."""
    try:
        return LastBeat(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):  # never ran, or another release's file: a node that runs writes it anew
        return None
