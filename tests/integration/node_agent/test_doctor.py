"""`assay node doctor`: what is well, and every FAIL provoked for real."""

import json
import shutil
import sys
import time
from dataclasses import asdict
from email.utils import formatdate
from errno import EPERM
from pathlib import Path

import httpx
import pytest
import torch

from backend.services.offering import offer_workload
from backend.store.home import open_database, open_tokenizers
from contracts.onchain.keystore import create_key, load_key
from contracts.onchain.sender import Sender
from contracts.protocol.manifest import InputLimits, IntegerRange, Manifest
from node_agent.devices import numeric_class, self_test
from node_agent.doctor import DoctorFinding, Limits, host, look_at_account, look_at_host, look_at_network, look_at_work
from node_agent.execution import kinds
from node_agent.execution.model_files import CONFIG_KEY, sha256_file, write_safetensors
from node_agent.execution.sandbox import client, launch
from node_agent.models import ModelStore
from node_agent.where import NodePlace
from tests.integration.node_agent.operator_world import (
    MANIFEST,
    PASSWORD,
    SETTINGS,
    World,
    bent,
    command,
    fund_what_it_says,
)
from tests.world.anvil import anvil
from tests.world.node_fakes import BYTE_TOKENIZER, BYTE_TOKENIZER_SHA256
from tests.world.parties import key

pytestmark = pytest.mark.chain
UNCONFINED = """
import node_agent.execution.sandbox.executor as executor
from node_agent.execution.errors import SandboxUnavailable

def confine(needs):
    raise SandboxUnavailable("This kernel cannot.", way_out="Use another.")

executor.confine = confine
executor.main()
"""
DIES_WHEN_LOADING = """
import os, sys
import node_agent.execution.sandbox.executor as executor

executor._Server._load = lambda server, request: os._exit(7)
executor.main()
"""
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, found: World) -> Path:
    """A model store with a tiny real model, whose workload is on offer."""
    root = tmp_path_factory.mktemp("models")
    built = root / "built"
    built.mkdir()
    (built / "tokenizer.json").write_bytes(BYTE_TOKENIZER)
    (built / "config.json").write_text(json.dumps(asdict(self_test.REFERENCE_CONFIG)))
    state = {name: tensor.numpy() for name, tensor in self_test.reference_state(self_test.REFERENCE_CONFIG).items()}
    weights, metadata = built / "model.safetensors", {CONFIG_KEY: sha256_file(built / "config.json")}
    write_safetensors(weights, {name: array.shape for name, array in state.items()}, state.__getitem__, metadata)
    engine = kinds.find("float_generation").engine
    manifest = Manifest(
        kind="float_generation", unit="completion token", meter="new_tokens", model="tiny",
        weights_sha256=sha256_file(weights), tokenizer_sha256=BYTE_TOKENIZER_SHA256, engine=engine.name,
        engine_version=engine.version, numeric_class=numeric_class.current("cpu").digest,
        params={"max_new_tokens": IntegerRange(minimum=1, maximum=8)},
        input=InputLimits(max_texts=1, max_bytes=100, max_tokens=200), check_price_units=1,
        deterrence=MANIFEST.deterrence,
    )  # fmt: skip
    built.rename(root / manifest.weights_sha256)
    backend = found.folder / "backend"
    prices = {"fixed_price": 2_000_000, "unit_price": 1_000_000, "max_units": 8}
    offer_workload(open_database(backend), open_tokenizers(backend), manifest, BYTE_TOKENIZER, **prices)
    return root


@pytest.fixture(scope="module")
def joined(found: World, store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that init prepared, to be copied."""
    home = tmp_path_factory.mktemp("joined") / "node"
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTINGS:  # conftest's come too late for a module's fixture
            patch.delenv(name, raising=False)
        patch.setenv("ASSAY_PASSWORD", PASSWORD)
        patch.setenv("ASSAY_HOME", str(home))
        where = ("--backend", found.url, "--rpc", found.rpc, "--models", str(store), "--device", "cpu")
        fund_what_it_says(found, command("init", *where, code=1))
        command("init")
    return home


@pytest.fixture
def node(joined: Path, home: Path) -> Path:
    """A copy of that home, to spoil."""
    shutil.copytree(joined, home)
    return home


def examined(*arguments: str, code: int = 0) -> dict[str, list[str]]:
    """What the whole doctor says: name -> "LEVEL says -> fix" of each of its lines."""
    told = json.loads(command("doctor", "--json", *arguments, code=code))
    assert told["ok"] is (code == 0)
    return by_name([DoctorFinding(**line) for line in told["findings"]])


def by_name(findings: list[DoctorFinding]) -> dict[str, list[str]]:
    """The same of some lines."""
    found: dict[str, list[str]] = {}
    for line in findings:
        assert line.level == "OK" or line.fix, f"what is not OK has a fix: {line}"
        found.setdefault(line.name, []).append(f"{line.level} {line.says} -> {line.fix}")
    return found


def network(node: Path, *, rpc: str | None = None, backend: str | None = None) -> dict[str, list[str]]:
    """What the doctor says of chain, backend and clock."""
    with NodePlace(node, rpc, None, backend) as where:
        return by_name(look_at_network(where, Limits()))


def account(node: Path, backend: str | None = None) -> dict[str, list[str]]:
    """What it says of keys and account."""
    with NodePlace(node, None, None, backend) as where:
        return by_name(look_at_account(where))


def failed(told: dict[str, list[str]]) -> str:
    """All FAIL lines."""
    return "\n".join(line for lines in told.values() for line in lines if line.startswith("FAIL"))


def test_a_healthy_node(node: Path) -> None:
    """Exit 0; without a GPU a warning says what that means; every file of the model is read and named."""
    told = examined()
    assert told["gpu"][0].startswith("WARN")
    assert "Jobs run on the CPU" in told["gpu"][0]
    names = ("memory", "disk of the home", "rpc", "contracts", "backend", "clock", "node key", "owner key", "stake")
    assert all(told[name][0].startswith("OK") for name in (*names, "registration", "gas for appeals", "self-test"))
    assert told["exact arithmetic"][0].startswith("OK")
    assert (
        "jobs run in a process without network, keys or other files: seccomp, Landlock (ABI" in told["confinement"][0]
    )
    assert told["confinement"][0].startswith("OK") == ("in namespaces of its own" in told["confinement"][0])
    files = ("model.safetensors", "tokenizer.json", "config.json")
    assert all(line.startswith(f"OK {name} is") for name, line in zip(files, told["model tiny"], strict=True))
    assert told["engine of tiny"][0].startswith("OK a job was run in the confined process")
    assert told["workload echo"][0].startswith("WARN"), "a workload of another engine is no fault of this host"
    for_people = command("doctor")
    assert "OK   rpc" in for_people
    assert "-> Jobs run on the CPU" in for_people


def test_changed_and_missing_model_files(node: Path, store: Path, tmp_path: Path) -> None:
    """One byte flipped in each file of a copy of the store: each is named, with both digests. Then no file at all.

    Covers: A08
    """
    copy = tmp_path / "models"
    shutil.copytree(store, copy)
    for path in copy.glob("*/*"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    told = failed(examined("--models", str(copy), code=1))
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert f"model_digest_mismatch: {file} hashes to" in told
    assert told.count("pull the model again") == 3
    with NodePlace(node) as where:
        told = failed(by_name(look_at_work(where, ModelStore(tmp_path / "none"), "cpu")))
    assert "is not in the store" in told
    assert "none of the 2 that are offered can be served here" in told


def test_a_full_disk_and_too_little_memory(node: Path) -> None:
    """Less than is enough is a FAIL that says how much there is and how much is needed."""
    limits = Limits(disk_bytes=10**15, memory_bytes=10**15)
    told = failed(by_name(look_at_host(node, node, "cpu", limits)))
    assert told.count("953674316 are needed") == 3
    assert "MiB free under" in told


def test_a_kernel_that_cannot_confine(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Landlock no job runs, and the doctor says so before one is leased. Covers: A50"""
    monkeypatch.setattr(client, "_PROGRAM", [sys.executable, "-c", UNCONFINED])
    assert "sandbox_unavailable: This kernel cannot." in failed(by_name(look_at_host(node, node, "cpu", Limits())))


def test_a_kernel_that_gives_no_namespaces(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer less is told, with why it is missing, what that shows of the host, and what to do. Covers: A50"""
    text, tries = Path(launch._KEEPER[-1]).read_text(), "            _unshare()\n"
    assert text.count(tries) == 1
    text = text.replace(tries, f'            raise PermissionError({EPERM}, "Operation not permitted", "unshare")\n')
    monkeypatch.setattr(launch, "_KEEPER", [*launch._KEEPER[:-1], "-c", text])
    (said,) = by_name(look_at_host(node, node, "cpu", Limits()))["confinement"]
    assert said.startswith("WARN jobs run in a process without network")
    assert "without namespaces of its own (unshare: Operation not permitted)" in said
    assert "let this user have user namespaces" in said


def test_an_engine_that_dies_in_the_confined_process(node: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All else is well, and no job would ever run: a library that cannot start confined ended every executor, while the
    doctor said OK to everything."""
    monkeypatch.setattr(client, "_PROGRAM", [sys.executable, "-c", DIES_WHEN_LOADING])
    with NodePlace(node) as where:
        told = by_name(look_at_work(where, ModelStore(store), "cpu"))
    assert told["engine of tiny"][0].startswith("FAIL executor_failed: The process that runs jobs ended")
    assert "none of the 2 that are offered can be served here" in failed(told)


def test_a_host_without_torch(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in floats is named with what it needs; exact work needs no torch, so its line stands."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("node_agent.doctor.host.find_spec", lambda name: None)
    with NodePlace(node) as where:
        told = by_name(look_at_work(where, ModelStore(node), "cpu"))
    assert "needs torch, which is not installed. -> Install it" in told["workload tiny"][0]
    told = by_name(look_at_host(node, node, "cpu", Limits()))
    assert "kernels" in told["exact arithmetic"][0]
    assert "self-test" not in told


def test_arithmetic_that_is_shortened(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose products lose bits fails its self-test before it can sign anything. Covers: A09"""
    exact = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: exact(a.bfloat16(), b.bfloat16()).float())
    told = failed(by_name(look_at_host(node, node, "cpu", Limits())))
    assert "self_test_failed: Self-test 'integer products'" in told


def test_a_gpu_that_cannot_be_used(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that is asked for and absent, and one that the driver sees and torch does not."""
    if torch.cuda.is_available():
        pytest.skip("this host has a GPU")
    assert "Device cuda is missing" in failed(by_name(look_at_host(node, node, "cuda", Limits())))
    smi(tmp_path, monkeypatch, "echo '570.1, NVIDIA H100'")
    told = failed(by_name(look_at_host(node, node, None, Limits())))
    assert "Device cuda is missing: torch" in told
    assert "sees 0 CUDA device(s)" in told
    monkeypatch.setattr("node_agent.doctor.host.find_spec", lambda name: None)
    told = failed(by_name(look_at_host(node, node, None, Limits())))
    assert "driver 570.1 sees NVIDIA H100; torch, which computes on GPUs, is not installed" in told
    assert "pip install 'assay[cuda]'" in told


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (
            "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18",
            "Driver/library version mismatch",
        ),
        ("exit 0", "says: nothing"),
        ("echo 'No devices were found'", "No devices were found"),
    ],
)
def test_a_driver_that_does_not_work(
    node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    """Its own words are told, and the device never becomes the CPU in silence; asked for, the CPU is well."""
    smi(tmp_path, monkeypatch, script)
    words = failed(by_name(look_at_host(node, node, None, Limits())))
    assert told in words
    assert "choose the CPU with --device cpu" in words
    assert not failed(by_name(look_at_host(node, node, "cpu", Limits())))


def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Puts a tool of that name first on the PATH."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent), prepend=":")


def test_a_container_with_little_memory(node: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the control groups leave counts, version 1 and 2 and the tightest of them; /proc tells of the host."""
    membership, root = tmp_path / "cgroup", tmp_path / "root"
    inner = root / "box" / "job"
    inner.mkdir(parents=True)
    membership.write_text("0::/box/job\n")
    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text("5\n")
    (root / "box" / "memory.max").write_text(f"{900 << 20}\n")
    (root / "box" / "memory.current").write_text(f"{100 << 20}\n")
    assert host.cgroup_room_bytes(membership, root) == 800 << 20
    membership.write_text("3:cpu:/\n9:memory:/old\n")
    old = root / "memory" / "old"
    old.mkdir(parents=True)
    (old / "memory.limit_in_bytes").write_text(str(700 << 20))
    (old / "memory.usage_in_bytes").write_text(str(600 << 20))
    assert host.cgroup_room_bytes(membership, root) == 100 << 20
    monkeypatch.setattr(host, "_CGROUP", membership)
    monkeypatch.setattr(host, "_CGROUPS", root)
    assert "100 MiB left in this process's control group" in failed(by_name(look_at_host(node, node, "cpu", Limits())))
    membership.write_text("0::/\n")
    assert host.cgroup_room_bytes(membership, root) is None


def test_rpc_dead_wrong_or_stale(node: Path) -> None:
    """No answer, another chain, a chain without the contracts, a chain that stands still: each in its own words."""
    assert "chain_unavailable" in failed(network(node, rpc=NOWHERE))
    with anvil(chain_id=4242) as url:
        assert "wrong_chain" in (told := failed(network(node, rpc=url)))
        assert "4242" in told
    with anvil() as url:
        assert "no_contract" in failed(network(node, rpc=url))
    with NodePlace(node) as where:
        lines = look_at_network(where, Limits(head_age_s=-1))
    assert next(line for line in lines if line.name == "rpc").level == "FAIL"


def test_backend_dead_or_foreign(node: Path, found: World) -> None:
    """No answer, and a backend on other contracts."""
    assert "backend_unavailable" in failed(network(node, backend=NOWHERE))

    def foreign(path: str, answer: httpx.Response) -> tuple[bytes, dict[str, str]]:
        if path != "/v1/network":
            return answer.content, {}
        return json.dumps({**answer.json(), "escrow": "0x" + "11" * 20}).encode(), {}

    with bent(found.url, foreign) as url:
        assert "foreign_backend" in failed(network(node, backend=url))


@pytest.mark.parametrize(("ahead_s", "level"), [(90, "FAIL"), (-90, "FAIL"), (20, "WARN"), (0, "OK")])
def test_clock(node: Path, found: World, ahead_s: int, level: str) -> None:
    """Told by the backend's Date header: beyond the tolerance every request would be refused."""

    def shifted(path: str, answer: httpx.Response) -> tuple[bytes, dict[str, str]]:
        return answer.content, {"date": formatdate(time.time() + ahead_s, usegmt=True)}

    with bent(found.url, shifted) as url:
        told = network(node, backend=url)
    assert told["clock"][0].startswith(level)


def test_keys(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that others may read, one that does not open, one that is missing. The owner's need not be there."""
    (node / "owner.json").unlink()
    assert "serving does not need it" in account(node)["owner key"][0]
    (node / "node.json").chmod(0o644)
    told = failed(account(node))
    assert "has mode 0644" in told
    assert f"chmod 600 {node / 'node.json'}" in told
    (node / "node.json").chmod(0o600)
    monkeypatch.setenv("ASSAY_PASSWORD", "another")
    assert "does not open with this password" in failed(account(node))
    monkeypatch.delenv("ASSAY_PASSWORD")
    assert account(node)["node key"][0].startswith("WARN")
    (node / "node.json").unlink()
    assert "there is none at" in failed(account(node))


def test_not_registered_and_a_foreign_journal(node: Path) -> None:
    """A key that no operator added; then the journal of the old key beside it is refused."""
    (node / "node.json").unlink()
    create_key(node / "node.json", PASSWORD)
    told = failed(account(node))
    assert "not_registered" in told or "journal_error" in told
    (node / "journal.sqlite").unlink(missing_ok=True)
    assert "not_registered" in failed(account(node))


def test_stake_suspension_and_gas(found: World, node: Path, home: Path) -> None:
    """A stake below the cheapest job, a guilty operator, and a hot key that cannot pay for an appeal."""

    def bend(path: str, answer: httpx.Response) -> tuple[bytes, dict[str, str]]:
        if path == "/v1/nodes":
            return json.dumps([{**view, "suspended": True} for view in answer.json()]).encode(), {}
        if path != "/v1/network":
            return answer.content, {}
        sheet = [{**entry, "fixed_price": 10**12} for entry in answer.json()["price_sheet"]]
        return json.dumps({**answer.json(), "price_sheet": sheet}).encode(), {}

    with bent(found.url, bend) as url:
        told = failed(account(node, url))
    assert "do not cover even the cheapest job" in told
    assert "found this operator guilty" in told
    hot = Sender(found.chain.w3, load_key(home / "node.json", PASSWORD))
    left = found.chain.w3.eth.get_balance(hot.address) - 21_000 * (2 * 10**9 + 2 * 10**9)
    hot.pay([key("deployer").address], max(1, left))
    assert account(node)["gas for appeals"][0].startswith("WARN")
