"""The composition root of `assay worker`: reads the chain, closes, posts and settles epochs, executes cases, answers
contests.

One loop whose only state is the tables: after a kill it continues where it stopped. A step that fails waits longer each
time and does not hold up the other steps.
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
from backend.services.equivocations import report_equivocations
from backend.services.ledger.reconcile import reconcile
from backend.services.posting import post_epoch
from backend.services.publishing import publish_epochs
from backend.services.record import PublicRecord
from backend.services.settling import settle_epoch
from backend.store.database import Database
from backend.store.home import LOG, open_blobs, open_database
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.protocol.errors import AssayError
from contracts.protocol.signing import Signer

_log = logging.getLogger(__name__)

TICK_S = 0.5
LONGEST_WAIT_S = 30.0
"""Waits before a failing step runs again, seconds."""
_RECONCILE_EVERY_S = 30.0
_REPORT_EVERY_S = 30.0
_RANGES_A_TICK = 20

_EXPECTED = (AssayError, OperationalError)
"""Errors of a step that the worker survives. Any other is a defect and ends the process."""


@dataclass(frozen=True)
class WorkerSettings:
    """A worker's settings. `treasury`: the session key of the treasury's lane."""

    home: Path
    rpc_url: str
    deployment: Deployment
    beacon_url: str
    settler: Signer
    treasury: Signer
    closing: ClosingRule
    confirmations: int


class Troubles:
    """The present error of each failing step. An endpoint that is down fails every step: that is logged once."""

    def __init__(self) -> None:
        self._messages: dict[str, str] = {}

    def begin(self, step: str, message: str) -> bool:
        """Notes that a step failed. Returns True unless another step, or this one before, fails with this message."""
        is_new = message not in self._messages.values()
        self._messages[step] = message
        return is_new

    def end(self, step: str) -> None:
        if self._messages.pop(step, None) is not None and not self._messages:
            _log.info("every step runs again")


class WorkerStep:
    """A step of the loop. Skipped while it backs off, and until `every_s` have passed since it last ran."""

    def __init__(self, name: str, run: Callable[[int], object], troubles: Troubles, *, every_s: float = 0.0) -> None:
        self._name, self._run, self._troubles, self._every_s = name, run, troubles, every_s
        self._failures, self._next_at = 0, 0.0

    def __call__(self, now: int, monotonic: float) -> None:
        """Runs the step if it is due. Logs an expected error, each message once, and backs off."""
        if monotonic < self._next_at:
            return
        try:
            self._run(now)
        except _EXPECTED as error:
            wait = min(TICK_S * 2 ** min(self._failures, 8), LONGEST_WAIT_S)
            self._failures, self._next_at = self._failures + 1, monotonic + wait
            message = f"{type(error).__name__}: {error}"
            level = logging.ERROR if self._troubles.begin(self._name, message) else logging.DEBUG
            _log.log(level, "%s failed, again in %.1f s: %s", self._name, wait, message)
        else:
            self._failures, self._next_at = 0, monotonic + self._every_s
            self._troubles.end(self._name)


class Worker:
    """The loop over the steps."""

    def __init__(self, database: Database, chain: Chain, beacon: Beacon, settings: WorkerSettings) -> None:
        _check(settings, chain.settler())
        manager = TxManager(database, RpcPort(chain.w3), settings.settler, confirmations=settings.confirmations)
        self.indexer = Indexer(database, chain, confirmations=settings.confirmations)
        blobs, log, treasury = open_blobs(settings.home), settings.home / LOG, settings.treasury
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
            WorkerStep("executing cases", lambda now: execute_cases(database, record, chain, manager, now), troubles),
            WorkerStep(
                "reporting equivocations",
                lambda now: report_equivocations(database, chain, manager, now),
                troubles,
                every_s=_REPORT_EVERY_S,
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
        """Runs each step once. `now`: Unix seconds."""
        for step in self._steps:
            step(now, time.monotonic())

    def run(self, stop: threading.Event) -> None:
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
        says = f"settler.json is the key of {settings.settler.address}, but the escrow's settler is {settler}"
        raise Misconfigured(says, way_out="use the settler's keystore")
    if not 0 < epoch_s <= deployment.constants.epoch_max_s:
        raise Misconfigured(f"--epoch-seconds {epoch_s} is outside 1..{deployment.constants.epoch_max_s} (EPOCH_MAX)")
