"""A founded chain in a second: founded once a run for each plan, dumped, and loaded into an Anvil of its own by a test.

Its blocks lie in the past, timelocks too; whoever loads it goes on at the clock's time. Old states can be asked for.
"""

import fcntl
import gzip
import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.onchain.chain import Chain, connect
from contracts.onchain.deployment import Deployment
from contracts.onchain.rpc import Rpc
from contracts.protocol.hashing import from_hex
from tests.world.anvil import anvil, give_ether, pass_time, rpc
from tests.world.founding import Furnishing, Plan, deploy_contracts
from tests.world.run import kept_in

AGO_S = 3600
"""Longer than the founding of any plan moves the chain's time."""


@dataclass(frozen=True)
class Founded:
    """A chain that runs, and who is where on it."""

    url: str
    plan: Plan
    deployment: Deployment

    def connect(self) -> Rpc:
        """A connection of the caller's own."""
        return connect(self.url)

    def chain(self) -> Chain:
        """The contracts, over a connection of the caller's own."""
        return Chain(self.connect(), self.deployment)


@contextmanager
def founded(plan: Plan, *options: str) -> Iterator[Founded]:
    """A chain on which `plan` stands, in an Anvil with `options` that nobody else uses."""
    place = _dump(plan)
    with anvil("--load-state", str(place / "state.json"), *options) as url:
        rpc(connect(url), "evm_mine")  # the chain's time is now
        yield Founded(url, plan, Deployment.load(place / "deployment.json"))


def _dump(plan: Plan) -> Path:
    """The folder with the state and the deployment of a plan, written by whoever needs it first."""
    place = kept_in() / hashlib.sha256(repr(plan).encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "deployment.json").exists():
            _found(plan, place)
    return place


def _found(plan: Plan, place: Path) -> None:
    with anvil("--timestamp", str(int(time.time()) - AGO_S)) as url:
        w3 = connect(url)
        give_ether(w3, plan.addresses())
        deployment = deploy_contracts(w3, plan)
        Furnishing(w3, deployment, plan, lambda seconds: pass_time(w3, seconds)).furnish()
        (place / "state.json").write_bytes(gzip.decompress(from_hex(rpc(w3, "anvil_dumpState", True))))
        deployment.save(place / "deployment.json")
