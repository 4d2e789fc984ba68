"""What a requester is told: before an order is signed, of an answer that was cut, and of an order left open."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from backend.client import AssayClient
from backend.client.cli import jobs_app
from backend.client.lane_lock import lane_lock
from contracts.protocol.packed import pack
from contracts.protocol.texts import decode_texts
from contracts.protocol.wire import LeaseGrant, OrderView
from tests.integration.backend.api.coordinator import FIXED, KEYS, UNFINISHED, UNIT, Coordinator, word

pytestmark = pytest.mark.chain
CUT = pack([[word(UNFINISHED)] * 2])
Command = Callable[..., str]


@pytest.fixture
def served(running: Coordinator) -> Coordinator:
    """A funded lane, and a node that has asked for work."""
    running.wallet().deposit(100_000)
    running.register_node(stake_units=1_000_000)
    assert running.lease().status_code == 204
    return running


@pytest.fixture
def command(environment: dict[str, str]) -> Command:
    """Runs `assay jobs ...`. Returns what it printed, and with `fails` the refusal's code and words."""

    def call(*arguments: str, fails: bool = False) -> str:
        result = CliRunner(env=environment).invoke(jobs_app, list(arguments))
        assert (result.exit_code != 0) == fails, result.output
        return result.output + (f"{getattr(result.exception, 'code', '')} {result.exception}" if fails else "")

    return call


def grant_of(running: Coordinator) -> LeaseGrant:
    """The one job that waits, lent."""
    return LeaseGrant.model_validate_json(running.lease().content)


def texts_of(running: Coordinator, grant: LeaseGrant) -> list[str]:
    """What a node is given."""
    return decode_texts(httpx.get(f"{running.url}/v1/blobs/{grant.order.terms.texts_hash}").content)


def test_nothing_is_signed_while_nobody_serves(running: Coordinator, command: Command) -> None:
    """A network without nodes takes no order in silence: it is said first, and only a wish to wait overrides it."""
    running.wallet().deposit(10_000)
    running.register_node(stake_units=100_000)
    told = command("submit", "--prompt", "Why?", "--no-wait", fails=True)
    assert "nobody_serves no node serves generation (smol-test) now" in told
    assert "--wait-for-node" in told
    assert running.client().orders() == []
    waiting = command("submit", "--prompt", "Why?", "--no-wait", "--wait-for-node")
    assert "no node serves generation" in waiting
    assert "is queued" in waiting
    running.deliver(grant_of(running))
    assert "nobody" not in command("submit", "--prompt", "Why?", "--no-wait")


def test_it_is_said_that_texts_are_public(served: Coordinator, command: Command) -> None:
    """Before it is too late: anyone can fetch the text of an open order."""
    told = command("submit", "--prompt", "My secret", "--no-wait")
    assert told.index("anyone can read this text") < told.index("is queued")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--prompt", "?", "--max-new-tokens", "100000"], "max_new_tokens is 100000, this workload takes 1 to 64"),
        (["--prompt", "?", "--param", "colour=3"], "no parameter colour; it has: max_new_tokens"),
        (["--prompt", "é" * 2500], r"5000 bytes \(2500 characters\), this workload takes at most 1000 .* shorten it"),
        (["--prompt", "?"] * 5, "5 texts, this workload takes at most 4 in one"),
    ],
)
def test_limits_are_said_in_numbers(served: Coordinator, command: Command, arguments: list[str], told: str) -> None:
    """What was asked and what is taken, with the way out; nothing is cut in silence, nothing is put or signed."""
    refused = command("submit", *arguments, "--no-wait", fails=True)
    assert re.search(f"not_taken .*{told}", refused), refused
    assert "JSON" not in refused
    assert served.client().orders() == []


def test_a_prompt_of_many_lines(served: Coordinator, command: Command, tmp_path: Path) -> None:
    """A file given with --prompt-file is one text; with --file it is a text a line."""
    (tmp_path / "poem.txt").write_text("Roses are red,\nviolets are blue.\n")
    command("submit", "--prompt-file", str(tmp_path / "poem.txt"), "--no-wait")
    grant = grant_of(served)
    assert texts_of(served, grant) == ["Roses are red,\nviolets are blue.\n"]
    served.deliver(grant)
    # two answers of the default length would be more than is offered an order: the default gives way
    command("submit", "--file", str(tmp_path / "poem.txt"), "--no-wait")
    assert texts_of(served, grant_of(served)) == ["Roses are red,", "violets are blue."]


def test_a_cut_answer_says_so_everywhere(
    served: Coordinator, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit that cut it is named by `submit`, `show`, `list` and their JSON; a whole answer is called whole."""
    monkeypatch.setattr("backend.client.ordering._ROOT_WAIT_S", 0.0)
    over = threading.Event()

    def node() -> None:
        for output in (CUT, None):
            while (answer := served.lease()).status_code != 200:
                if over.wait(0.05):
                    return
            grant = LeaseGrant.model_validate_json(answer.content)
            served.deliver(grant, *([] if output is None else [output]))

    thread = threading.Thread(target=node)
    thread.start()
    try:
        arguments = ["submit", "--prompt", "Why?", "--max-new-tokens", "2", "--timeout", "20"]
        told = command(*arguments, fails=True)  # it is answered, and its root does not come
        assert "the answer was cut at 2 tokens, the most that was ordered; --max-new-tokens allows up to 64" in told
        whole = command(*arguments[:4], "3", *arguments[5:], fails=True)
        assert "cut" not in whole
    finally:
        over.set()
        thread.join()
    cut_id, whole_id = (re.findall("order (0x[0-9a-f]{64})", text)[0] for text in (told, whole))
    assert "cut at 2 tokens" in command("show", cut_id)
    assert "cut" not in command("show", whole_id)
    lines = {line.split()[0]: line for line in command("list").splitlines() if line.strip().startswith("0x")}
    assert "cut at 2 tokens" in lines[cut_id[:14]]
    assert lines[whole_id[:14]].rstrip().endswith("whole")
    assert [json.loads(command("show", one, "--json"))["cut"] for one in (cut_id, whole_id)] == [[0], []]


def interrupted(environment: dict[str, str], *arguments: str, until: str) -> tuple[int, str]:
    """Runs `assay jobs submit` in a process and sends it SIGINT once it has told `until`. Its exit code, and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.assay", "jobs", "submit", *arguments],
        env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a job in a shell's background ignores it
    )  # fmt: skip
    assert process.stderr is not None
    told = ""
    while until not in told:
        line = process.stderr.readline()
        assert line, f"it ended: {told}"
        told += line
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    process.stderr.close()
    return process.wait(), told + rest


def test_ctrl_c_says_what_stays_open(served: Coordinator, environment: dict[str, str]) -> None:
    """A real process, interrupted while it waits: order, most it may cost, deadline, how to look; exit code 130."""
    code, told = interrupted(environment, "--prompt", "Why?", "--max-new-tokens", "4", until="is queued")
    order_id = re.findall("order (0x[0-9a-f]{64}) is queued", told)[0]
    assert code == 130
    assert f"order {order_id} stays open" in told
    assert re.search(r"it is charged, at most 0\.00000014 ADEV; if not, it expires at \d{4}-", told)
    assert f"`assay jobs list` and `assay jobs show {order_id[:14]}`" in told
    assert "Traceback" not in told
    assert served.client().order(order_id).state == "queued"


def test_parallel_orders_of_one_lane_are_all_taken(served: Coordinator, tmp_path: Path) -> None:
    """Twenty at once from one home: each is signed when the one before it was accepted, so none is overtaken."""
    taken: list[OrderView | Exception] = []
    alice = KEYS["alice"]

    def submit(number: int) -> None:
        lock = lane_lock(tmp_path, alice.address, alice.address)
        with AssayClient(served.url, alice, lock=lock) as client:
            try:
                taken.append(client.submit(f"question {number}", max_new_tokens=1))
            except Exception as error:  # noqa: BLE001  # any refusal is the finding
                taken.append(error)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.state if isinstance(one, OrderView) else repr(one) for one in taken] == ["queued"] * 20
    caps = sorted(one.order.spend_cap for one in taken if isinstance(one, OrderView))
    assert caps == [(n + 1) * (FIXED + UNIT) for n in range(20)]


def test_the_command_uses_the_homes_lock(served: Coordinator, command: Command, environment: dict[str, Any]) -> None:
    """While somebody else signs in this lane, `submit` waits for it."""
    alice = KEYS["alice"].address
    done = threading.Event()

    def submit() -> None:
        command("submit", "--prompt", "Why?", "--no-wait")
        done.set()

    thread = threading.Thread(target=submit)
    with lane_lock(Path(environment["ASSAY_HOME"]), alice, alice)():
        thread.start()
        assert not done.wait(3.0)
    thread.join(30)
    assert done.is_set()
