"""Keeps Anvil's state in a file, and sets the pace of its blocks.

Anvil writes its own state file in place, so a kill while it writes leaves none; and with old states it grows by 300 KB
a block. So this module asks for the state over RPC, without old states, and writes the whole file or none: at most
SAVE_EVERY_S after a block with transactions, so a killed Anvil loses no more than that. Each block costs about 2 KB of
state for ever, so blocks come every second while there is activity, slowly otherwise.
"""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contracts.onchain.chain import connect
from contracts.onchain.errors import ChainError, ChainUnavailable
from contracts.protocol.hashing import from_hex

SAVE_EVERY_S = 2.0
IDLE_SAVE_EVERY_S = 300.0
BUSY_BLOCK_S, IDLE_BLOCK_S = 1, 30
BUSY_FOR_S = 120.0
"""After the last transaction: longer than an epoch of the development constants takes from its post to settlement."""


class AnvilState:
    """Supervises one Anvil. Call `tick` often, from one thread; `say` reports problems to people."""

    def __init__(self, rpc_url: str, file: Path, say: Callable[[str], None]) -> None:
        self._w3 = connect(rpc_url, timeout_s=60.0)
        self._file, self._say = file, say
        self.started(0.0)

    def started(self, now: float) -> None:
        """Anvil was started, and mines every second. Blocks before the first look count as activity."""
        self._interval_s, self._busy_until = BUSY_BLOCK_S, now + BUSY_FOR_S
        self._seen = -1
        self._saved_at, self._unsaved = now, True

    def tick(self, now: float) -> None:
        """Notices transactions, sets the pace, and saves when due. `now`: monotonic seconds."""
        try:
            self._look(now)
            self._set_pace(BUSY_BLOCK_S if now < self._busy_until else IDLE_BLOCK_S)
            if now - self._saved_at >= (SAVE_EVERY_S if self._unsaved else IDLE_SAVE_EVERY_S):
                self.save(now)
        except ChainUnavailable:
            return  # whoever watches the process sees that it ended
        except ChainError as error:
            self._say(f"the chain refused a command of its supervisor: {error}")
            self._saved_at = now
        except OSError as error:
            self._say(f"the chain's state cannot be saved in {self._file}: {error}; make room, or a stop loses it")
            self._saved_at = now

    def mine_at_once(self) -> None:
        """Mines a block for each transaction and no other: for the founding, which waits for many."""
        self.call("evm_setAutomine", True)

    def mine_by_the_clock(self) -> None:
        self.call("evm_setIntervalMining", BUSY_BLOCK_S)

    def is_at_rest(self) -> bool:
        """Whether no transaction waits to be mined. A saved state lacks those that wait."""
        return int(self.call("txpool_status")["pending"], 16) == 0

    def save(self, now: float = 0.0) -> int:
        """Writes the state, the whole file or none, and returns the number of its last block."""
        state = gzip.decompress(from_hex(self.call("anvil_dumpState")))
        temporary = self._file.with_suffix(".tmp")
        with temporary.open("wb") as file:
            file.write(state)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._file)
        self._saved_at, self._unsaved = now, False
        return int(json.loads(state)["block"]["number"], 16)

    def _look(self, now: float) -> None:
        head = int(self.call("eth_blockNumber"), 16)
        first = head if self._seen < 0 else self._seen + 1
        mined = sum(int(self._count(number), 16) for number in range(max(first, head - 20), head + 1))
        self._seen = head
        if mined:
            self._unsaved = True
        if mined or not self.is_at_rest():
            self._busy_until = now + BUSY_FOR_S

    def _count(self, number: int) -> str:
        return str(self.call("eth_getBlockTransactionCountByNumber", hex(number)))

    def _set_pace(self, interval_s: int) -> None:
        if interval_s != self._interval_s:
            self.call("evm_setIntervalMining", interval_s)
            self._interval_s = interval_s

    def call(self, method: str, *params: Any) -> Any:
        """One of Anvil's methods. Raises ChainError."""
        return self._w3.request(method, *params)
