"""The processes of a test network: the product's own programs, with a labelled fake engine where a model would compute.

`node` and `verifier` run the product's loops over `EchoEngine`. A node that is told to throw dice answers inputs that
hold `DICE` with other bytes each time: an answer computed twice shows, and verifiers convict it.
"""

import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path

import uvicorn

import backend.worker
from backend.cli import serve_app
from backend.cli_worker import worker_app
from contracts.onchain.chain import Chain
from contracts.onchain.deployment import Deployment
from contracts.onchain.keystore import load_key
from contracts.onchain.sender import Sender
from contracts.protocol.manifest import Manifest
from contracts.protocol.wire import Acknowledgement, SubmitCommitment
from contracts.record.log_source import open_source
from node_agent.app import NodeSettings, run_node
from node_agent.execution.engine import Check, Engine, Execution
from node_agent.session.backend_api import BackendApi
from tests.survival import doom
from tests.world.node_fakes import EchoEngine
from tests.world.parties import BEACON
from tests.world.soak import short_or_long
from verifier.app import Verifier
from verifier.beacon.service import create_app
from verifier.verdicts.journal import VerifierJournal
from verifier.verdicts.publisher import Publisher

DICE = b"dice"
LONGEST_WAIT_S = short_or_long(4.0, backend.worker.LONGEST_WAIT_S)
"""Of a worker whose steps fail. In the short form an outage that is longer than it need not last for a minute."""


class DiceEngine(Engine):
    """Echoes, but throws dice over inputs that ask for it. One engine for every workload."""

    name: str = "echo"
    version: str = "fake"
    check: Check = "regenerate"

    def __init__(self, *, dice: bool) -> None:
        self._honest, self._fickle = EchoEngine(), EchoEngine(fickle=dice)

    def get(self, manifest: Manifest) -> Engine:
        """See verifier.reexecution.Engines."""
        return self

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """See Engine."""
        engine = self._fickle if DICE in input_bytes else self._honest
        return engine.execute(input_bytes, params)


def api(arguments: list[str]) -> None:
    """`assay serve`."""
    _log_to_stderr()
    doom.arm()
    serve_app(arguments)


def worker(arguments: list[str]) -> None:
    """`assay worker`."""
    backend.worker.LONGEST_WAIT_S = LONGEST_WAIT_S
    doom.arm()
    worker_app(arguments)


def beacon(arguments: list[str]) -> None:
    """The beacon: RPC, deployment file, port."""
    rpc, deployment, port = arguments
    app = create_app(Chain.open(rpc, Deployment.load(Path(deployment))), BEACON)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


def node(arguments: list[str]) -> None:
    """A node: home, RPC, deployment file, backend, manifest file, whether it throws dice."""
    _log_to_stderr()
    doom.arm()
    home, rpc, deployment, backend, manifest, dice = arguments
    _note_what_is_sent(Path(home) / "sent.jsonl")
    settings = NodeSettings(
        home=Path(home), rpc_url=rpc, deployment=Deployment.load(Path(deployment)), backend_url=backend,
        workloads=(manifest,), password=os.environ["ASSAY_PASSWORD"], poll_s=0.3,
    )  # fmt: skip
    run_node(settings, lambda _: DiceEngine(dice=dice == "dice"))


def verifier(arguments: list[str]) -> None:
    """A verifier: home, RPC, deployment file, backend."""
    _log_to_stderr()
    doom.arm()
    home, rpc, deployment, backend = arguments
    signer = load_key(Path(home) / "verifier.key.json", os.environ["ASSAY_PASSWORD"])
    chain = Chain.open(rpc, Deployment.load(Path(deployment)))
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda caught, _: stopping.append(caught))
    Verifier(
        chain=chain,
        sender=Sender(chain.w3, signer),
        source=open_source(f"{backend}/v1/log"),
        publisher=Publisher(backend),
        journal=VerifierJournal(Path(home) / "journal.sqlite"),
        engines=DiceEngine(dice=False),
    ).run(lambda: bool(stopping))


def _note_what_is_sent(file: Path) -> None:
    """Every commitment that leaves this process is written to a file first: the tests' evidence, beside the journal."""
    submit = BackendApi.submit

    def noted(api: BackendApi, commitment: SubmitCommitment) -> Acknowledgement:
        with file.open("ab") as notes:
            notes.write(commitment.model_dump_json().encode() + b"\n")
        return submit(api, commitment)

    BackendApi.submit = noted  # type: ignore[method-assign,assignment]  # a witness, in this test process only


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
