"""The composition root of `assay worker`: reads the chain, closes, posts and settles epochs, executes cases, answers
contests.

One loop, no state but the tables: killed anywhere, it goes on where it stopped. A step that fails waits longer each
time and keeps no other step waiting.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import OperationalError

from backend.chain.beacon_client import Beacon, HttpBeacon
from backend.chain.indexer import Indexer
from backend.chain.tx_manager import TxManager
from backend.chain.tx_port import RpcPort
from backend.errors import Misconfigured
from backend.services.answers import Answers
from backend.services.cases import execute_cases
from backend.services.closing import ClosingRule, close_epoch
from backend.services.equivocations import bring_equivocations
from backend.services.ledger.reconcile import reconcile
from backend.services.posting import post_epoch
from backend.services.publishing import publish_epochs
from backend.services.record import PublicRecord
from backend.services.settling import settle_epoch
from backend.store.database import Database
from backend.store.home import log_folder, open_blobs, open_database
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.protocol.errors import AssayError
from contracts.protocol.signing import Signer

_log = logging.getLogger(__name__)

TICK_S = 0.5
LONGEST_WAIT_S = 30.0
"""Of a step that fails again and again."""
_RECONCILE_EVERY_S = 30.0
_BRING_EVERY_S = 30.0
_RANGES_A_TICK = 20

_EXPECTED = (AssayError, OperationalError)
"""What a step may fail with while the worker lives on. Anything else is a defect and ends the process."""


@dataclass(frozen=True)
class WorkerSettings:
    """What a worker is told. `treasury`: the session key of the treasury's lane."""

    home: Path
    rpc_url: str
    deployment: Deployment
    beacon_url: str
    settler: Signer
    treasury: Signer
    closing: ClosingRule
    confirmations: int


class Troubles:
    """What is wrong now, by step, so that the same words are said once: a chain that is gone fails every step."""

    def __init__(self) -> None:
        self._words: dict[str, str] = {}

    def begin(self, step: str, words: str) -> bool:
        """A step fails with these words; whether to say so: no step failed with them until now."""
        is_new = words not in self._words.values()
        self._words[step] = words
        return is_new

    def end(self, step: str) -> None:
        """A step ran."""
        if self._words.pop(step, None) is not None and not self._words:
            _log.info("every step runs again")


class WorkerStep:
    """One thing the loop does. Skipped while it backs off, or until its time has come."""

    def __init__(self, name: str, run: Callable[[int], object], troubles: Troubles, *, every_s: float = 0.0) -> None:
        self._name, self._run, self._troubles, self._every_s = name, run, troubles, every_s
        self._failures, self._next_at = 0, 0.0

    def __call__(self, now: int, monotonic: float) -> None:
        """Runs if it is time. Logs what is expected to go wrong, once for the same words, and waits longer."""
        if monotonic < self._next_at:
            return
        try:
            self._run(now)
        except _EXPECTED as error:
            wait = min(TICK_S * 2 ** min(self._failures, 8), LONGEST_WAIT_S)
            self._failures, self._next_at = self._failures + 1, monotonic + wait
            words = f"{type(error).__name__}: {error}"
            level = logging.ERROR if self._troubles.begin(self._name, words) else logging.DEBUG
            _log.log(level, "%s failed, again in %.1f s: %s", self._name, wait, words)
        else:
            self._failures, self._next_at = 0, monotonic + self._every_s
            self._troubles.end(self._name)


class Worker:
    """The loop over its parts."""

    def __init__(self, database: Database, chain: Chain, beacon: Beacon, settings: WorkerSettings) -> None:
        _check(settings, chain.settler())
        manager = TxManager(database, RpcPort(chain.w3), settings.settler, confirmations=settings.confirmations)
        self.indexer = Indexer(database, chain, confirmations=settings.confirmations)
        blobs, log, treasury = open_blobs(settings.home), log_folder(settings.home), settings.treasury
        record = PublicRecord(blobs, chain.deployment.constants, chain.block_hash)
        rule, answers = settings.closing, Answers(database, chain, record, blobs, log)
        troubles = Troubles()
        self._steps = (
            WorkerStep("indexing", lambda _: self._index(), troubles),
            WorkerStep(
                "closing", lambda now: close_epoch(database, record, chain, treasury.address, rule, now), troubles
            ),
            WorkerStep("publishing", lambda _: publish_epochs(database, blobs, log), troubles),
            WorkerStep("posting", lambda now: post_epoch(database, chain, beacon, manager, now), troubles),
            WorkerStep("settling", lambda now: settle_epoch(database, chain, manager, treasury, now), troubles),
            WorkerStep("executing cases", lambda now: execute_cases(database, chain, manager, now), troubles),
            WorkerStep(
                "bringing equivocations",
                lambda now: bring_equivocations(database, chain, manager, now),
                troubles,
                every_s=_BRING_EVERY_S,
            ),
            WorkerStep("answering contests", lambda now: answers.step(manager, now), troubles),
            WorkerStep("sending", lambda now: _send(manager, now), troubles),
            WorkerStep("reconciling", lambda _: reconcile(database, chain), troubles, every_s=_RECONCILE_EVERY_S),
        )

    @staticmethod
    def open(settings: WorkerSettings) -> "Worker":
        """Connects everything. Raises Misconfigured and ChainError."""
        chain = Chain.open(settings.rpc_url, settings.deployment)
        return Worker(open_database(settings.home), chain, HttpBeacon(settings.beacon_url), settings)

    def tick(self, now: int) -> None:
        """Each step once. `now`: Unix seconds."""
        for step in self._steps:
            step(now, time.monotonic())

    def run(self, stop: threading.Event) -> None:
        """Ticks until `stop` is set."""
        _log.info("worker started")
        while not stop.is_set():
            self.tick(int(time.time()))
            stop.wait(TICK_S)
        _log.info("worker stopped")

    def _index(self) -> None:
        for _ in range(_RANGES_A_TICK):
            if not self.indexer.step():
                return


def _send(manager: TxManager, now: int) -> None:
    for error in manager.step(now):
        _log.error("%s", error)


def _check(settings: WorkerSettings, settler: str) -> None:
    deployment, epoch_s = settings.deployment, settings.closing.epoch_s
    if settings.settler.address != settler:
        raise Misconfigured(
            f"the key is {settings.settler.address}'s, the escrow's settler is {settler}",
            way_out="use the settler's keystore",
        )
    if not 0 < epoch_s <= deployment.constants.epoch_max_s:
        raise Misconfigured(f"an epoch of {epoch_s} s is outside 1..{deployment.constants.epoch_max_s}, EPOCH_MAX")
