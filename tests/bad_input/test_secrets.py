"""Keys and passwords stay where they belong: a network runs, commands run and fail, and everything that anybody can
read afterwards is searched for them.
"""

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from eth_account import Account

from deploy.localnet.processes import assay_command
from tests.survival.whole_network import NODES, PASSWORD, REQUESTERS, VERIFIERS, WholeNetwork, key, whole_network

pytestmark = pytest.mark.chain
WRONG_PASSWORD = "a wrong password, typed by mistake"
RPC_KEY = "API-KEY-0123456789"
HOLDERS = ("settler", "session", "treasury", *REQUESTERS, *NODES, *VERIFIERS)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WholeNetwork, list[bytes]]]:
    """A network through which jobs went, and all that its API, its pages and its commands said."""
    with whole_network(tmp_path_factory.mktemp("secrets")) as place:
        place.start_all()
        orders = [place.order(name, f"secret question {number}") for number, name in enumerate(REQUESTERS * 2)]
        said = _commands(place)
        place.wait_for(lambda: all(_state(place, order_id) in ("rooted", "paid", "void") for order_id in orders))
        said += _answers(place, orders)
        yield place, said


def _state(place: WholeNetwork, order_id: str) -> str:
    return str(httpx.get(f"{place.url}/v1/orders/{order_id}").json()["state"])


def _answers(place: WholeNetwork, orders: list[str]) -> list[bytes]:
    """Every GET of the description, and pages, good and bad."""
    paths = set(httpx.get(f"{place.url}/openapi.json").json()["paths"])
    filled = [path.format(**{name: orders[0] for name in ("order_id", "name", "workload_id", "requester", "signer")},
                          epoch_id=1) for path in paths]  # fmt: skip
    filled += ["/", "/wallet", "/docs", "/openapi.json", "/v1/nothing", f"/v1/orders?requester={key('alice').address}"]
    filled += [f"/v1/lanes/{key('alice').address}/{key('alice').address}", "/v1/log/epochs/1.jsonl"]
    found = []
    for path in filled:
        for method in ("GET", "POST", "PUT"):
            answer = httpx.request(method, place.url + path, content=b"{", headers={"content-type": "application/json"})
            found += [answer.content, str(answer.headers).encode()]
    return found


def _commands(place: WholeNetwork) -> list[bytes]:
    """What commands print, good and bad, and what others see of them in the list of processes."""
    home = place.root / "alice"
    home.mkdir()
    encrypted = Account.encrypt(key("alice").private_key(), PASSWORD, kdf="pbkdf2", iterations=2)
    (home / "requester.json").write_text(json.dumps(encrypted))
    where = ["--home", str(home), "--deployment", str(place.root / "deployment.json"), "--rpc"]
    good, dead = place.direct_url, f"http://user:{RPC_KEY}@127.0.0.1:9/v3/{RPC_KEY}"
    calls = [
        (["wallet", "lanes", *where, good], WRONG_PASSWORD),
        (["wallet", "lanes", *where, dead], PASSWORD),
        (["jobs", "list", *where, good, "--backend", place.url], PASSWORD),
        (["keys", "new", str(place.root / "new.json")], PASSWORD),
        (["serve", *where, good], PASSWORD),
    ]
    found = []
    for arguments, password in calls:
        environment = {**os.environ, "ASSAY_PASSWORD": password}
        with subprocess.Popen(
            [assay_command(), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        ) as process:
            seen = [path.read_bytes() for path in Path(f"/proc/{process.pid}").glob("cmdline")]
            output, _ = process.communicate(timeout=60)
        found += [output, b" ".join(seen).replace(dead.encode(), b"")]  # what the user typed is not ours to hide
    return found


def _secrets() -> dict[str, bytes]:
    """Every spelling of every key and password, by what it is."""
    found = {"password": PASSWORD.encode(), "wrong password": WRONG_PASSWORD.encode(), "RPC key": RPC_KEY.encode()}
    for name in HOLDERS:
        raw = key(name).private_key()
        spellings = (raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw)[:40])
        found |= {f"key of {name}, spelling {i}": spelling for i, spelling in enumerate(spellings)}
        found[f"key of {name} as a number"] = str(int.from_bytes(raw, "big")).encode()
    return found


def _found_in(content: bytes) -> list[str]:
    return [what for what, spelling in _secrets().items() if spelling in content]


def test_no_secret_in_any_file(ran: tuple[WholeNetwork, list[bytes]]) -> None:
    """Protects every party's keys: logs, databases, journals, blobs, the published log, key files. Covers: A51"""
    place, _ = ran
    searched = [path for path in place.root.rglob("*") if path.is_file()]
    assert {"assay.db", "journal.sqlite", "settler.json", "api.log", "worker.log"} <= {path.name for path in searched}
    assert {str(path): found for path in searched if (found := _found_in(path.read_bytes()))} == {}


def test_no_secret_in_any_answer(ran: tuple[WholeNetwork, list[bytes]]) -> None:
    """Protects every party's keys: answers, problems, pages, outputs of commands, lists of processes. Covers: A51"""
    place, said = ran
    assert any(place.deployment.escrow.encode() in content for content in said), "the answers were really read"
    assert [found for content in said if (found := _found_in(content))] == []
    lines = [Path(f"/proc/{child.pid}/cmdline").read_bytes() for child in place.children.values() if child.alive]
    assert [found for line in lines if (found := _found_in(line))] == []


def test_keys_do_not_show_themselves() -> None:
    """Protects keys from a stray print or a traceback's locals. Covers: A51"""
    signer = key("alice")
    assert _found_in(f"{signer} {signer!r} {[signer]} {vars(signer)}".encode()) == []


def test_key_files_are_their_owners(ran: tuple[WholeNetwork, list[bytes]]) -> None:
    """Protects keys from other users of a machine. Covers: A51"""
    place, _ = ran
    assert (place.root / "new.json").stat().st_mode & 0o777 == 0o600
