"""Wrong settings of every command: an exit code, one message that names value and way out, nothing written, no trace.

The commands run as the `assay` program runs them, in this process.
"""

import json
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from backend.api.http import create_http
from contracts.onchain.deployment import Deployment
from contracts.protocol.hashing import to_hex
from deploy import assay
from tests.bad_input.place import ALWAYS, Place, files
from tests.integration.backend.api.coordinator import listening
from tests.integration.backend.worker.bench import KEYS
from tests.unit.backend.world import World
from tests.world.parties import BEACON, BEACON_LENGTH, BEACON_SECRET

pytestmark = pytest.mark.chain
PASSWORD = "the password of these tests"
DEAD = "http://127.0.0.1:9"
_TRACE = re.compile(r"Traceback|File \".*\", line \d+")


@dataclass
class Desk:
    """A home with every key file, and what a good setting would be."""

    home: Path
    place: Place
    run: Callable[..., Any]

    @property
    def deployment(self) -> Path:
        """The good deployment file."""
        return self.home / "deployment.json"

    def wrong_deployment(self, **changes: Any) -> Path:
        """A deployment file with changes."""
        path = self.home / "wrong.json"
        path.write_text(json.dumps(json.loads(self.place.bench.deployment.model_dump_json()) | changes))
        return path

    def arguments(self, command: str, **options: object) -> list[str]:
        """A command line whose settings are good but for `options` (a dash for each underscore)."""
        known: dict[str, object] = {
            "home": self.home, "rpc": self.place.bench.url, "deployment": self.deployment, "backend": self.place.url,
            "beacon": DEAD, "model_dir": self.home / "models", "models": self.home / "models",
            "workload": ALWAYS.workload_id(), "escrow": self.place.bench.deployment.escrow, "log": self.home / "log",
            "port": 0, "prompt": "Why?",
        }  # fmt: skip
        given = {name: known[name] for name in COMMANDS[command]} | options
        found = command.split()
        for name, value in given.items():
            found += [f"--{name.replace('_', '-')}", str(value)]
        return found


WHERE = ("home", "rpc", "deployment")
COMMANDS: dict[str, tuple[str, ...]] = {
    "serve": (*WHERE, "port"),
    "worker": (*WHERE, "beacon"),
    "node run": (*WHERE, "backend", "workload", "models"),
    "node status": WHERE,
    "node claim": WHERE,
    "verifier run": (*WHERE, "backend", "model_dir"),
    "beacon serve": (*WHERE, "port"),
    "wallet lanes": WHERE,
    "wallet notice": WHERE,
    "jobs list": (*WHERE, "backend"),
    "jobs submit": (*WHERE, "backend", "prompt"),
    "ledger show": WHERE,
}
ALL = sorted(COMMANDS)
WITH_KEYS = sorted(COMMANDS.keys() - {"ledger show", "node status"})
KEY_FILES = {
    "settler.json": "settler", "treasury.json": "session", "requester.json": "alice", "node.json": "node",
    "node.key.json": "node", "owner.json": "owner", "verifier.key.json": "judge-1",
}  # fmt: skip


def _files(home: Path) -> dict[str, str]:
    """All that is written but locks, which hold nothing."""
    return {name: digest for name, digest in files(home).items() if not name.endswith(".lock")}


@pytest.fixture(scope="module")
def prepared(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home, made once: encrypting keys takes a while."""
    home = tmp_path_factory.mktemp("desk")
    for file, name in KEY_FILES.items():
        key = Account.encrypt(KEYS[name].private_key(), PASSWORD, iterations=2)
        (home / file).write_text(json.dumps(key))
    secret = Account.encrypt(BEACON_SECRET, PASSWORD, iterations=2)
    (home / "beacon.key.json").write_text(json.dumps(secret))
    anchor = to_hex(BEACON.anchor)
    (home / "beacon.json").write_text(json.dumps({"anchor": anchor, "length": BEACON_LENGTH}))
    place.bench.deployment.save(home / "deployment.json")
    (home / "models").mkdir()
    (home / "log").mkdir()
    return home


@pytest.fixture
def desk(
    prepared: Path, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    """Runs commands and asserts how they fail."""
    monkeypatch.setenv("ASSAY_PASSWORD", PASSWORD)
    monkeypatch.setenv("COLUMNS", "4000")
    monkeypatch.chdir(prepared)

    def run(arguments: list[str], *named: object, way_out: str, code: str | None = None) -> str:
        before = _files(prepared)
        monkeypatch.setattr("sys.argv", ["assay", *arguments])
        with pytest.raises(SystemExit) as ended:
            assay.main()
        out, err = capsys.readouterr()
        said = out + err
        assert ended.value.code not in (0, None), said
        assert _TRACE.search(said) is None, said
        for value in named:
            assert str(value) in said, (value, said)
        assert way_out in said, said
        assert code is None or code in said, (code, said)
        assert PASSWORD not in said
        assert len(said) < 2500, said
        assert _files(prepared) == before
        return said

    yield Desk(prepared, place, run)
    (prepared / "wrong.json").unlink(missing_ok=True)


@pytest.mark.parametrize("command", ALL)
def test_wrong_chain_id(desk: Desk, command: str) -> None:
    """Protects every party from signing for, or paying on, another chain."""
    wrong = desk.wrong_deployment(chain_id=1)
    arguments = desk.arguments(command, deployment=wrong)
    desk.run(arguments, "31337", "chain 1", way_out="check the RPC URL", code="wrong_chain")


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize("contract", ["escrow", "stake_manager"])
def test_address_without_a_contract(desk: Desk, command: str, contract: str) -> None:
    """Protects every party's money: what has no code is no contract."""
    nobody = "0x" + "12" * 20
    arguments = desk.arguments(command, deployment=desk.wrong_deployment(**{contract: nobody}))
    desk.run(arguments, nobody, way_out="check the deployment file", code="no_contract")


@pytest.mark.parametrize("command", ALL)
def test_address_of_another_contract(desk: Desk, command: str) -> None:
    """Protects every party's money: another contract at the address is found out."""
    token = desk.place.bench.deployment.token
    arguments = desk.arguments(command, deployment=desk.wrong_deployment(escrow=token))
    desk.run(arguments, token, way_out="deployment file that the network publishes", code="wrong_contract")


@pytest.mark.parametrize("command", ALL)
@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, "No such file"),
        (b"", "EOF"),
        (b"{", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b"[]", "Input should be an object"),
        ({"escrow": "0xAB"}, "escrow = '0xAB'"),
        ({"chain_id": "31337"}, "chain_id = '31337'"),
        ({"more": 1}, "more = '1'"),
    ],
)
def test_no_deployment_file(desk: Desk, command: str, content: Any, named: str) -> None:
    """Protects operators: a file that is missing or damaged is named, with the first thing that is wrong in it."""
    path = desk.home / "wrong.json"
    if isinstance(content, dict):
        path = desk.wrong_deployment(**content)
    elif content is not None:
        path.write_bytes(content)
    desk.run(desk.arguments(command, deployment=path), path, named, way_out="deployment.json of the network")


@pytest.mark.parametrize("command", ALL)
def test_no_chain_behind_the_url(desk: Desk, command: str) -> None:
    """Protects operators: an endpoint that is dead, none, or no chain is named, and no key in its URL is shown.

    Covers: A51
    """
    for url in ("nonsense", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://"):
        desk.run(desk.arguments(command, rpc=url), url, way_out="--rpc http://127.0.0.1:8545", code="bad_rpc_url")
    dead = "http://someone:hunter2@127.0.0.1:9/v3/API-KEY-1234"
    said = desk.run(desk.arguments(command, rpc=dead), "http://127.0.0.1:9", way_out="is the chain running?")
    assert "hunter2" not in said
    assert "API-KEY" not in said
    said = desk.run(desk.arguments(command, rpc=desk.place.url), desk.place.url, way_out="is the chain running?")
    assert "chain_unavailable" in said


@pytest.mark.parametrize("command", WITH_KEYS)
def test_keys_that_do_not_open(desk: Desk, command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects keys: a wrong password, a missing or a damaged file are told apart, and nothing of them is shown.

    Covers: A51
    """
    monkeypatch.setenv("ASSAY_PASSWORD", "not the password")
    desk.run(desk.arguments(command), "does not open with this password", way_out="set ASSAY_PASSWORD")
    monkeypatch.setenv("ASSAY_PASSWORD", PASSWORD)
    for file in KEY_FILES.keys() | {"beacon.json"}:
        (tmp_path / file).write_bytes((desk.home / file).read_bytes())
    (tmp_path / "settings.json").write_bytes(b"{}")
    for file in ("settler.json", "node.json", "node.key.json", "owner.json", "verifier.key.json", "requester.json"):
        (tmp_path / file).write_text('{"version": 3, "address": "' + KEYS["node"].address[2:] + '", "crypto": {}}')
    (tmp_path / "beacon.key.json").write_bytes(b"\x80garbage")
    desk.run(desk.arguments(command, home=tmp_path), str(tmp_path), way_out="key")


def test_another_ones_key(desk: Desk, tmp_path: Path) -> None:
    """Protects requesters from leases and epochs that count for nothing: the settler's key is the deployment's."""
    for file in ("treasury.json", "settler.json"):
        (tmp_path / file).write_bytes((desk.home / "requester.json").read_bytes())
    for command in ("serve", "worker"):
        arguments = desk.arguments(command, home=tmp_path)
        named = (KEYS["settler"].address, KEYS["alice"].address)
        desk.run(arguments, *named, way_out="the escrow's settler", code="misconfigured")


def test_times_that_do_not_fit(desk: Desk) -> None:
    """Protects nodes: leases that outlast a notice, or epochs that stay open too long, are refused at the start."""
    desk.run(desk.arguments("serve", grace=100_000), "100000", way_out="shorten the grace", code="misconfigured")
    desk.run(desk.arguments("worker", epoch_seconds=61), "61", way_out="1..60", code="misconfigured")
    desk.run(desk.arguments("worker", epoch_seconds=0), "--epoch-seconds 0", way_out="1..60", code="misconfigured")


def test_another_networks_backend(desk: Desk, tmp_path: Path) -> None:
    """Protects nodes and requesters from a backend of another deployment, and from none at all."""
    world = World(tmp_path)
    with listening(create_http(world.services)) as url:
        for command in ("node run", "jobs submit"):
            desk.run(desk.arguments(command, backend=url), world.settings.deployment.escrow, way_out="backend")
    world.database.close()
    for command in ("jobs list", "jobs submit"):
        desk.run(desk.arguments(command, backend=DEAD), DEAD, way_out="check that an Assay backend runs there")


@pytest.mark.parametrize(
    ("options", "named", "way_out"),
    [
        ({"escrow": "0x" + "12" * 20}, "0x" + "12" * 20, "check the deployment file"),
        ({"escrow": "JobEscrow"}, "JobEscrow", "0x and 40 hex digits"),
        ({"escrow": ""}, "''", "0x and 40 hex digits"),
        ({"rpc": DEAD}, DEAD, "is the chain running?"),
        ({"rpc": "nonsense"}, "nonsense", "--rpc http"),
    ],
)
def test_audit_of_nothing(desk: Desk, options: dict[str, str], named: str, way_out: str) -> None:
    """Protects auditors: they learn that they audit nothing, and why."""
    COMMANDS.setdefault("audit", ("rpc", "escrow", "log"))
    desk.run(desk.arguments("audit", **options), named, way_out=way_out)


def test_audit_of_another_contract(desk: Desk) -> None:
    """Protects auditors from a contract that is no escrow."""
    COMMANDS.setdefault("audit", ("rpc", "escrow", "log"))
    token = desk.place.bench.deployment.token
    desk.run(desk.arguments("audit", escrow=token), token, way_out="JobEscrow")


def test_homes_that_are_none(desk: Desk, tmp_path: Path) -> None:
    """Protects operators: a home that is a file, or a database that is none, is named."""
    file = tmp_path / "file"
    file.write_text("x")
    desk.run(desk.arguments("serve", home=file), file, way_out="key file")
    home = tmp_path / "home"
    home.mkdir()
    for name in ("settler.json", "treasury.json"):
        (home / name).write_bytes((desk.home / name).read_bytes())
    (home / "assay.db").write_bytes(b"this is no database at all, but it is long enough to be looked at" * 20)
    desk.run(desk.arguments("serve", home=home), home / "assay.db", way_out="restore the file", code="misconfigured")


def test_port_that_is_taken(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """Protects operators: the port is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        desk.run(desk.arguments("serve", port=port), port, way_out="choose another --port", code="misconfigured")


def test_manifests_that_are_none(desk: Desk, tmp_path: Path) -> None:
    """Protects a backend's operator: what can not be offered is named with the field, and nothing is offered."""
    tokenizer, manifest = tmp_path / "tokenizer.json", tmp_path / "manifest.json"
    tokenizer.write_text("{}")
    arguments = ["workloads", "offer", str(manifest), "--home", str(desk.home), "--tokenizer", str(tokenizer)]
    arguments += ["--fixed-price", "1", "--unit-price", "1", "--max-units", "9"]
    good = json.loads(ALWAYS.model_dump_json())
    for content, named in (
        ({}, "kind: Field required"),
        (good | {"kind": "../../etc"}, "kind = '../../etc'"),
        (good | {"weights_sha256": "../../x"}, "weights_sha256 = '../../x'"),
        (good | {"model": "../m"}, "model = '../m'"),
        (good | {"check_price_units": False}, "check_price_units = 'False'"),
        (good | {"tokenizer": "sentencepiece"}, "'sentencepiece': Input should be 'byte_bpe' or 'wordpiece'"),
        (good | {"engine": "exact"}, "the engine exact with the model_root None"),
        (good | {"model_root": "0x" + "11" * 32}, "the engine torch-float with the model_root 0x1111"),
    ):
        manifest.write_text(json.dumps(content))
        desk.run(arguments, named, way_out="correct it and offer it again", code="misconfigured")
    manifest.write_bytes(b"\x80\x04cposix\nsystem\n")
    desk.run(arguments, str(manifest), way_out="correct it and offer it again", code="misconfigured")
    manifest.write_text(json.dumps(good))
    desk.run(arguments, "tokenizer", way_out="tokenizer")


def test_messages_show_brackets_as_they_are(desk: Desk, tmp_path: Path) -> None:
    """Protects readers: a path with a terminal's markup in it is printed as it is."""
    path = tmp_path / "[red]x[/red][/]"
    desk.run(desk.arguments("wallet lanes", deployment=path), str(path), way_out="deployment.json of the network")


def test_good_settings_pass(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects these tests: what they start from works."""
    assert Deployment.load(desk.deployment) == desk.place.bench.deployment
    for command in ("wallet lanes", "jobs list", "node status"):
        monkeypatch.setattr("sys.argv", ["assay", *desk.arguments(command)])
        with pytest.raises(SystemExit) as ended:
            assay.main()
        assert ended.value.code in (0, None), capsys.readouterr()
