"""`assay up` as somebody lives with it: founded, used from another terminal, stopped, started, and nothing is lost."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from contracts.onchain.chain import as_dict
from contracts.onchain.errors import ChainUnavailable
from contracts.protocol.receipt import PaymentReceipt
from deploy.localnet.anvil import anvil_options, find_anvil
from deploy.localnet.processes import Processes, free_port
from deploy.localnet.up.anvil_state import BUSY_FOR_S, AnvilState
from deploy.localnet.up.cli import address_in
from deploy.settings import ClientFile
from tests.integration.deploy.terminal import Terminal
from tests.world.waiting import eventually

pytestmark = pytest.mark.chain


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    found = Terminal(tmp_path)
    try:
        yield found
    finally:
        found.stop()


@pytest.mark.model
@pytest.mark.timeout(1200)
def test_stopping_and_starting_loses_nothing(terminal: Terminal) -> None:
    """Orders, lanes, blocks and receipts are the same after a stop; a job ordered before it is delivered after it. Each
    start is up only once a job was answered, which the network itself pays.

    Covers: A41, A45
    """
    terminal.start()
    _says_what_an_auditor_types(terminal)
    first = terminal.json("jobs", "submit", "--prompt", "Why is the sky blue?", "--max-new-tokens", "8")
    assert first["texts"][0]
    assert first["price"] == "0.01 ADEV"
    receipt = Path(first["receipt"])
    assert PaymentReceipt.model_validate_json(receipt.read_text()).order_id == first["order_id"]
    assert "process" in terminal.call("up", code=1)
    terminal.until_paid(first["order_id"])
    lanes, head = terminal.json("wallet", "lanes"), terminal.chain().head()
    second = terminal.json("jobs", "submit", "--no-wait", "--prompt", "Name a river.")
    terminal.stop(signal.SIGINT)
    assert (terminal.folder / "up.log").read_text().count(" ended (") == 0, "nothing crashed"

    terminal.start()
    chain = terminal.chain()
    assert chain.block(head.number).hash == head.hash
    assert terminal.json("wallet", "lanes") == lanes
    terminal.until_paid(second["order_id"])
    listed = {view["order_id"]: view for view in terminal.json("jobs", "list")}
    assert {listed[order]["state"] for order in (first["order_id"], second["order_id"])} == {"paid"}
    charged = sum(view["price_units"] for view in listed.values())
    assert terminal.json("wallet", "lanes")["lanes"][0]["charged"] == charged
    _up_was_said_when_it_was(terminal, charged)
    assert "claimed" in terminal.call("node", "claim")
    terminal.call("jobs", "receipt", first["order_id"][:12])
    verified = terminal.json("verify", str(receipt))
    assert verified["verified"]
    assert verified["outcome"] == "paid"
    audit = json.loads(terminal.call("audit", "--json", "-"))
    assert audit["ok"]
    assert audit["unexplained_wei"] == 0
    assert "no notice was given" in terminal.call("wallet", "withdraw", "1", code=1)
    _no_secret_is_told(terminal)


def _says_what_an_auditor_types(terminal: Terminal) -> None:
    """The commands that `up` prints name the ports that are used, whatever was taken."""
    found = ClientFile.load(terminal.network)
    where = f"--rpc {found.rpc} --escrow {found.escrow} --log {found.backend}/v1/log"
    printed = (terminal.folder / "up.log").read_text()
    assert f"assay audit {where}" in printed
    assert f"assay verify --job latest {where}" in printed


def _up_was_said_when_it_was(terminal: Terminal, charged: int) -> None:
    """At both starts a job had been answered, which the network's own lane paid; and the windows are the measured ones.

    `charged`: the requester's lane, units.
    """
    chain = terminal.chain()
    block = chain.head().number
    earned = as_dict(chain.escrow.functions.operators(2).call(block_identifier=block))["earnedUnits"]
    canary = address_in(terminal.network / "backend" / "canary.json")
    lane = as_dict(chain.escrow.functions.lanes(*[to_checksum_address(canary)] * 2).call(block_identifier=block))
    assert earned == (charged + lane["chargedUnits"]) * 9 // 10
    up, constants = (terminal.folder / "up.log").read_text(), chain.deployment.constants
    assert f"an order has {constants.order_ttl_s} s, its check {constants.check_wait_s} s" in up, "what was measured"
    assert up.count("the node answered its first job after") == up.count("Assay is up") == 2
    assert up.index("the node answered") < up.index("Assay is up")
    assert lane["chargedUnits"] > 0


def _no_secret_is_told(terminal: Terminal) -> None:
    """Neither a password nor the wallet's key is in any log. Covers: A51"""
    key = terminal.call("wallet", "export-key").strip().removeprefix("0x")
    assert len(key) == 64
    secrets = [key, *(file.read_text() for file in terminal.network.glob("*/password"))]
    logs = [terminal.folder / "up.log", *terminal.network.glob("logs/*.log")]
    assert len(logs) > 5
    for log in logs:
        text = log.read_text(errors="replace")
        assert not any(secret in text for secret in secrets), log


def test_a_killed_chain_goes_on_from_what_was_saved(tmp_path: Path) -> None:
    """kill -9 of Anvil: blocks and receipts up to the save are there, and time goes on with the clock."""
    processes, port = Processes(tmp_path), free_port()
    url, file, said = f"http://127.0.0.1:{port}", tmp_path / "chain.json", list[str]()
    state = AnvilState(url, file, said.append)

    def start(*options: str) -> None:
        processes.start_program("chain", [find_anvil(), *anvil_options(port), *options])
        processes.wait_for("chain", lambda: _answers(state))
        state.started(0.0)

    try:
        start()
        account = state.call("eth_accounts")[0]
        tx_hash = state.call("eth_sendTransaction", {"from": account, "to": "0x" + "11" * 20, "value": "0x5"})
        _mined(state, tx_hash)
        state.tick(3.0)
        block = state.call("eth_getTransactionReceipt", tx_hash)["blockHash"]
        state.tick(3.0 + BUSY_FOR_S)
        processes.running["chain"].kill()
        processes.running["chain"].wait()
        time.sleep(2.5)
        start("--load-state", str(file))
        assert state.call("eth_getTransactionReceipt", tx_hash)["blockHash"] == block
        assert state.call("eth_getBalance", "0x" + "11" * 20, "latest") == "0x5"
        head = int(state.call("eth_blockNumber"), 16)
        eventually(lambda: int(state.call("eth_blockNumber"), 16) > head)
        newest = int(state.call("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        assert abs(newest - time.time()) <= 3
        assert said == []
    finally:
        processes.stop_all()


def test_a_state_that_cannot_be_written_is_said_and_leaves_the_last_one(tmp_path: Path) -> None:
    """A full or shut disk: the old state stays whole, people are told, and it is tried again."""
    processes, port, said = Processes(tmp_path), free_port(), list[str]()
    folder = tmp_path / "kept"
    folder.mkdir()
    state = AnvilState(f"http://127.0.0.1:{port}", folder / "chain.json", said.append)
    try:
        processes.start_program("chain", [find_anvil(), *anvil_options(port)])
        processes.wait_for("chain", lambda: _answers(state))
        state.save()
        before, written = (folder / "chain.json").read_bytes(), (folder / "chain.json").stat().st_mtime_ns
        (folder / "chain.tmp").mkdir()  # where the next state would be written
        state.tick(1e6)
        assert "cannot be saved" in said[-1]
        assert str(folder / "chain.json") in said[-1]
        assert (folder / "chain.json").read_bytes() == before
        (folder / "chain.tmp").rmdir()
        state.tick(2e6)
        assert len(said) == 1
        assert (folder / "chain.json").stat().st_mtime_ns > written
    finally:
        processes.stop_all()


def _answers(state: AnvilState) -> bool:
    try:
        state.call("eth_blockNumber")
    except ChainUnavailable:
        return False
    return True


def _mined(state: AnvilState, tx_hash: str) -> None:
    eventually(lambda: state.call("eth_getTransactionReceipt", tx_hash) is not None)
