"""A folder with `assay up` in one window and commands in another, as somebody uses it."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import httpx

from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from deploy.localnet.processes import assay_command
from deploy.settings import ClientFile
from tests.world.waiting import eventually


def environment() -> dict[str, str]:
    """A terminal in which nothing of Assay is set, but where the models are."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("ASSAY_") or name == "ASSAY_MODELS"
    }
    return kept | {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}


class Terminal:
    """A folder in which commands are called, and `assay up` in another window of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = folder / ".assay-net"
        self._up: subprocess.Popen[bytes] | None = None

    def call(self, *arguments: str, code: int = 0) -> str:
        """Runs `assay ARGUMENTS` and returns what it printed to stdout, or to stderr where it should fail."""
        done = subprocess.run(
            [assay_command(), *arguments],
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert done.returncode == code, (arguments, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout if code == 0 else done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self.call(*arguments, "--json"))

    def start(self) -> None:
        """`assay up`, until it says that it is."""
        printed = self.folder / "up.log"
        with printed.open("ab") as log:
            self._up = subprocess.Popen(
                [assay_command(), "up"], cwd=self.folder, env=environment(), stdout=log, stderr=log
            )
        process, before = self._up, printed.read_text().count("Assay is up")

        def is_up() -> bool:
            assert process.poll() is None, printed.read_text()[-3000:]
            return printed.read_text().count("Assay is up") > before

        eventually(is_up, 400, poll_s=0.2, says=lambda: printed.read_text()[-3000:])

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._up is not None:
            self._up.send_signal(number)
            assert self._up.wait(180) == 0
            self._up = None

    def chain(self) -> Chain:
        return Chain.open(ClientFile.load(self.network).rpc, Deployment.load(self.network / "deployment.json"))

    def until_paid(self, order_id: str) -> None:
        url = f"{ClientFile.load(self.network).backend}/v1/orders/{order_id}"
        eventually(lambda: httpx.get(url).json()["state"] == "paid", 400, poll_s=0.5, says=lambda: httpx.get(url).text)
