"""What things are kept on fails: a disk without room while a result is written, and a database that is gone."""

import json
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from backend.client.errors import Refused
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.wire import Problem
from deploy.localnet.processes import assay_command, environment
from tests.survival.small_disk import SmallDisk, small_disk
from tests.survival.whole_network import NODES, REQUESTERS, VERIFIERS, WholeNetwork, whole_network

pytestmark = [pytest.mark.chain, pytest.mark.timeout(900)]

SIZES_MB = {"backend": 12, **dict.fromkeys((*NODES, *VERIFIERS), 3)}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WholeNetwork, dict[str, SmallDisk]]]:
    """One network for all tests here, and the small disks that its parties' homes lie on."""
    root = tmp_path_factory.mktemp("network")
    with ExitStack() as stack:
        disks = {name: stack.enter_context(small_disk(root / name, size)) for name, size in SIZES_MB.items()}
        yield stack.enter_context(whole_network(root)), disks


@pytest.fixture
def place(kept: tuple[WholeNetwork, dict[str, SmallDisk]]) -> WholeNetwork:
    """The network, at work."""
    kept[0].start_all()
    return kept[0]


@pytest.fixture
def disks(kept: tuple[WholeNetwork, dict[str, SmallDisk]]) -> dict[str, SmallDisk]:
    """The disk under each party's home."""
    return kept[1]


def test_a_full_disk_stops_nobody_for_ever(place: WholeNetwork, disks: dict[str, SmallDisk]) -> None:
    """The backend's disk fills while jobs are on their way: 507 problems that name the path and the way out, for blobs
    and for orders, and what was refused is not there by half. Then the nodes': they take no job, say why once, and
    live. With room again everything is delivered and paid.

    Covers: A45
    """
    place.order("alice", "say one")
    _fill_the_backend(place, disks["backend"])
    for number in range(3):
        place.order("bob", f"say {number}")
    place.wait_for(place.at_rest)
    _fill_the_nodes(place, disks)
    place.wait_for(place.at_rest)
    assert place.check().paid >= place.accepted


def _fill_the_backend(place: WholeNetwork, disk: SmallDisk) -> None:
    writers = [place.children[name].pid for name in ("api", "worker")]
    disk.fill(*writers)
    data = secrets.token_bytes(50_000)
    url = f"{place.url}/v1/blobs/{to_hex(keccak(data))}"
    refused = httpx.put(url, content=data)
    assert refused.status_code == 507
    problem = Problem.model_validate_json(refused.content)
    assert problem.code == "storage_full"
    assert str(disk.folder) in problem.detail
    assert "free space" in problem.detail
    assert httpx.get(url).status_code == 404
    with pytest.raises(Refused, match="storage_full") as told:
        _order_until_refused(place)
    assert "assay.db" in str(told.value)
    disk.free(*writers)
    assert httpx.put(url, content=data).is_success
    assert all(place.children[name].alive for name in ("api", "worker"))


def _order_until_refused(place: WholeNetwork) -> None:
    """The input is there already; a few orders may still find room in the database's own log."""
    for _ in range(60):
        place.order("alice", "say one")


def _fill_the_nodes(place: WholeNetwork, disks: dict[str, SmallDisk]) -> None:
    for name in NODES:
        disks[name].fill(place.children[name].pid)
    place.order("alice", "say that no node can write")
    place.wait_for(lambda: any("journal_full" in place.children[name].log_text() for name in NODES))
    for name in NODES:
        said = place.children[name].log_text()
        assert place.children[name].alive, said[-2000:]
        assert said.count("journal_full") <= 2, "once when it begins, once when it is over"
        assert said.count("No space left") <= 2
        disks[name].free(place.children[name].pid)


def test_a_lost_database_strands_nobody(place: WholeNetwork) -> None:
    """Between post and settle the database, the blobs and every intent are gone. `assay ledger recover` makes them
    again from the chain and the published log; a fresh worker settles what was posted, new orders are served, and the
    audit and `assay ledger rebuild` find nothing wrong. What no epoch held is lost, and nobody is charged for it.

    Covers: A26, A29, A45, A46
    """
    escrow, before = place.chain.escrow.functions, set(place.accepted)
    epochs = escrow.lastEpoch().call()
    posted = {place.order(name, f"say {number} to {name}") for name in REQUESTERS for number in range(3)}
    place.wait_for(lambda: escrow.lastEpoch().call() > epochs)
    place.stop("worker", *NODES)
    assert escrow.epochs(escrow.lastEpoch().call()).call().outcomes == 0, "the last epoch is not settled yet"
    unrooted = place.order("alice", "say what will be lost")
    place.children["api"].kill()
    _lose_database(place)
    _altered_logs_recover_nothing(place)
    assert "recovered" in _ledger(place, "recover")
    assert "not_recoverable" in _ledger(place, "recover", status=1), "never over rows that are there"
    lost = place.accepted - _orders(place)
    assert unrooted in lost
    assert posted - lost
    assert before.isdisjoint(lost)
    place.accepted -= lost
    place.offer(place.home)
    place.start_all()
    place.order("bob", "say that it goes on")
    place.wait_for(place.at_rest)
    assert "identical" in _ledger(place, "rebuild")
    assert place.check(is_recovered=True).paid >= place.accepted


def _lose_database(place: WholeNetwork) -> None:
    for file in place.home.glob("assay.db*"):
        file.unlink()
    shutil.rmtree(place.home / "blobs")


def _altered_logs_recover_nothing(place: WholeNetwork) -> None:
    """A file whose bytes do not hash to the posted roots is named, a missing one too, and nothing is written."""
    file = place.home / "log" / "epochs" / "1.jsonl"
    whole = file.read_bytes()
    entries = [json.loads(line) for line in whole.splitlines()]
    for entry in entries:
        if entry["kind"] == "row":
            entry["amount_units"] += 1
    altered = [json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n" for entry in entries]
    file.write_bytes(b"".join(altered))
    damaged = _ledger(place, "recover", status=1)
    file.unlink()
    missing = _ledger(place, "recover", status=1)
    file.write_bytes(whole)
    for said, why in ((damaged, "the chain says"), (missing, "No such file")):
        words = " ".join(said.split())
        assert "not_recoverable" in words
        assert why in words
        assert "1.jsonl" in said.replace("\n", "")
    assert not _orders(place)


def _orders(place: WholeNetwork) -> set[str]:
    with sqlite3.connect(place.home / "assay.db") as database:
        found = {row[0] for row in database.execute('SELECT order_id FROM "order"')}
    database.close()
    return found


def _ledger(place: WholeNetwork, command: str, *, status: int = 0) -> str:
    """What `assay ledger ...` says, run as its operator runs it."""
    where = ["--home", str(place.home), "--deployment", str(place.root / "deployment.json"), "--rpc", place.direct_url]
    run = [assay_command(), "ledger", command, *where]
    done = subprocess.run(run, capture_output=True, text=True, env=environment(None))
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    return said
