"""The page that runs a paid job again in a browser: static files, a published log and a model file, no backend.

It computes with the node's kernels, compiled to WebAssembly. The node here is the engine itself, and the page is served
by `python -m http.server`, as anybody would who trusts no backend.
"""

import hashlib
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, Page, Route, expect

from backend.api.pages import WEB, pages_router
from contracts.protocol.hashing import ZERO32, keccak, to_hex
from contracts.protocol.log import CommitmentEntry, OrderEntry, RowEntry, TraceEntry, WorkloadEntry, dump_line
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.records import COMPARATOR_EXACT, Commitment, Order, Params, Terms
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import Domain, trace_commit
from node_agent.execution.engine import Execution
from node_agent.execution.exact import golden, kernels, trace
from node_agent.execution.exact.container import Integers, Matrix, write_model
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.execution.exact.llama.model_file import ExactConfig, Parameters, read_model
from node_agent.execution.exact.model_root import file_root
from node_agent.execution.exact.sampling import ExactSampling, choose
from node_agent.execution.exact.ways import KernelWay
from node_agent.execution.model_files import sha256_file
from node_agent.models import ModelStore
from tests.world.chromium import chromium
from tests.world.manifests import manifest
from verifier.reexecution.rerun import first_difference

DOMAIN = Domain(31337, "0x" + "ee" * 20)
REQUESTER, NODE = Signer(keccak(b"requester")), Signer(keccak(b"node"))
GREEDY = Params(max_new_tokens=30, top_p_ppm=1_000_000)
DRAWN = Params(max_new_tokens=30, temperature_milli=1700, top_p_ppm=930_000, seed=2**63 - 5)
PROMPTS = pack([[3, 50, 7], [each % 96 for each in range(200)], [12]])
SAME, OTHER = "The same, bit for bit", "NOT the same"


@dataclass(frozen=True)
class Site:
    """What is served: the page, models by name, and a log for each job."""

    url: str
    folder: Path

    def job(self, model: str, computed: Parameters, params: Params, **signed: Any) -> tuple[Execution, str]:
        """Publishes a job that a node computed. Returns it and the page's URL. `signed`: what else it committed to."""
        offered = workload(self.folder / f"{model}.safetensors")
        engine = ExactGeneration(KernelWay(kernels.loaded(kernels.available()[0], 1)).llama(computed), offered)
        run = engine.execute(PROMPTS, params.of(offered.params))
        log = f"log-{len(list(self.folder.glob('log-*')))}"
        order_id = publish(self.folder / log, offered, params, run, signed)
        facts = f"order={order_id}&chain={DOMAIN.chain_id}&escrow={DOMAIN.verifying_contract}"
        return run, f"{self.url}/rerun/?log=../{log}&model=../{model}.safetensors&{facts}"


def workload(file: Path) -> Manifest:
    """The workload of a model file."""
    return manifest(
        kind="generation", engine="exact", engine_version=ExactGeneration.version, check="prefill", numeric_class=None,
        weights_sha256=sha256_file(file), model_root=file_root(file), stops=[11], template={"before": [], "after": []},
        input={"max_texts": 4, "max_bytes": 999, "max_tokens": 220},
        params={
            "max_new_tokens": {"minimum": 1, "maximum": 64},
            "temperature_milli": {"minimum": 0, "maximum": 2000},
            "top_p_ppm": {"minimum": 1, "maximum": 1_000_000},
            "seed": {"minimum": 0, "maximum": 2**63 - 1},
        },
    )  # fmt: skip


def publish(log: Path, offered: Manifest, params: Params, run: Execution, signed: dict[str, Any]) -> str:
    """Writes the log of one job, its trace shown in the next epoch. Returns the order's id."""
    terms = Terms(
        workload_id=offered.workload_id(), prompt_root=to_hex(packed_root(PROMPTS)), texts_hash=to_hex(ZERO32),
        params=params, comparator=COMPARATOR_EXACT, fixed_price=1, unit_price=2, max_price=2**60, deadline=2000,
        salt=2**63 + 9,
    )  # fmt: skip
    order = Order(requester=REQUESTER.address, spend_cap=2**62, terms=terms)
    order_id = DOMAIN.order_id(order)
    facts: dict[str, Any] = {
        "order_id": to_hex(order_id), "node": NODE.address, "output_root": to_hex(packed_root(run.output)),
        "trace_commit": to_hex(trace_commit(run.trace_hash, order_id, NODE.address)), "units": run.units,
    }  # fmt: skip
    commitment = Commitment.model_validate(facts | signed)
    digest = DOMAIN.commitment_digest(commitment)
    row = RowEntry(
        index=0,
        requester=REQUESTER.address,
        signer=REQUESTER.address,
        operator_id=1,
        amount_units=9,
        digest=to_hex(digest),
    )
    shown = TraceEntry(commitment_digest=to_hex(digest), trace=to_hex(keccak(run.trace)))
    entries = [
        WorkloadEntry(manifest=offered.model_dump(mode="json")),
        OrderEntry(order=order, signer=REQUESTER.address, signature=REQUESTER.sign(order_id)),
        CommitmentEntry(commitment=commitment, signature=NODE.sign(digest)),
        row,
    ]
    for name in ("epochs", "blobs"):
        (log / name).mkdir(parents=True, exist_ok=True)
    (log / "epochs" / "1.jsonl").write_bytes(b"\n".join(map(dump_line, entries)))
    (log / "epochs" / "2.jsonl").write_bytes(dump_line(shown))
    blobs = {terms.prompt_root: PROMPTS, facts["output_root"]: run.output, shown.trace: run.trace}
    for name, data in blobs.items():
        (log / "blobs" / name).write_bytes(data)
    return to_hex(order_id)


def named(p: Parameters) -> Callable[[str], Integers]:
    """A model's tensors by the names of its file."""

    def parts(name: str, matrix: Matrix) -> dict[str, Any]:
        found = {"weight": matrix.weight, "multiplier": matrix.multiplier, "bias": matrix.bias}
        return {f"{name}.{part}": values for part, values in (found | {"exponent": [matrix.exponent]}).items()}

    found: dict[str, Any] = {f"table.{name}": getattr(p, name) for name in ("exp2", "sigmoid", "cos", "sin")}
    found |= parts("embedding", p.embedding) | parts("head", p.head) | {"final_norm": p.final_norm}
    for index, layer in enumerate(p.layers):
        for name, value in vars(layer).items():
            found |= (
                parts(f"layers.{index}.{name}", value)
                if isinstance(value, Matrix)
                else {f"layers.{index}.{name}": value}
            )
    return lambda name: np.asarray(found[name], p.config.shapes()[name][1])


LONG: ExactConfig = replace(golden.golden_parameters().config, positions=300)
MODELS = {
    "golden": golden.golden_parameters(),
    "family": golden.golden_family(),
    "long": golden.fixed_llama(LONG, qkv_exponent=34),
    "all": golden.fixed_llama(
        replace(LONG, window=70, head_epsilon=687_195, qkv_bias=True, tied=False), qkv_exponent=34
    ),
}
"""The golden models; longer ones, the last with a window, norms of heads, biases and a head of its own."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Served by `python -m http.server`."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("rerun", "shared"):
        (folder / name).symlink_to(Path(str(WEB)) / name)
    for name, parameters in MODELS.items():
        write_model(folder / f"{name}.safetensors", parameters.config, named(parameters))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        httpx.Client(transport=httpx.HTTPTransport(retries=9)).get(url)
        yield Site(url, folder)
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as launched:
        yield launched


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page, none of whose errors stays unseen."""
    faults: list[str] = []
    page = browser.new_page()
    page.on("pageerror", lambda error: faults.append(str(error)))
    yield page
    page.close()
    assert not faults, faults


def run_again(page: Page, address: str) -> None:
    page.goto(address)
    page.get_by_role("button", name="Run it again").click()


@pytest.mark.parametrize("params", [GREEDY, DRAWN], ids=["greedy", "drawn"])
@pytest.mark.parametrize("model", ["long", "all"])
def test_the_nodes_hash_comes_out(page: Page, site: Site, model: str, params: Params) -> None:
    """A job of three texts, one longer than what is read at once: this browser has the node's trace hash, by one pass
    over the published answer, and by generating where none is published."""
    run, address = site.job(model, MODELS[model], params)
    for published in (True, False):
        run_again(page, address)
        expect(page.locator("#say")).to_contain_text(SAME)
        expect(page.locator("#hash")).to_have_text(to_hex(run.trace_hash))
        expect(page.locator("#facts .true")).to_have_count(3)
        if published:
            for output in site.folder.glob(f"*/blobs/{to_hex(packed_root(run.output))}"):
                output.unlink()


@pytest.mark.model
def test_a_real_model(page: Page, site: Site) -> None:
    """SmolLM2-135M, the model that nodes serve: its size and its vocabulary fit a browser."""
    weights = ModelStore().pull("smollm2-135m-exact").weights
    (site.folder / "smollm2.safetensors").symlink_to(weights)
    run, address = site.job("smollm2", read_model(weights), Params(max_new_tokens=8, top_p_ppm=1_000_000))
    run_again(page, address)
    expect(page.locator("#hash")).to_have_text(to_hex(run.trace_hash), timeout=120_000)
    expect(page.locator("#say")).to_contain_text(SAME)


def test_a_backend_serves_it_under_its_policy(page: Page, site: Site) -> None:
    """Served by a backend, the page may compile WebAssembly in its worker; pages with a wallet may not."""
    app = FastAPI()
    app.include_router(pages_router())
    served = TestClient(app)

    def answer(route: Route) -> None:
        found = served.get(urlsplit(route.request.url).path)
        route.fulfill(status=found.status_code, headers=dict(found.headers), body=found.content)

    page.route(re.compile("/web/|/wallet$"), answer)
    run, address = site.job("long", MODELS["long"], GREEDY)
    run_again(page, address.replace("/rerun/", "/web/rerun/").replace("=../", "=../../"))
    expect(page.locator("#say")).to_contain_text(SAME)
    expect(page.locator("#hash")).to_have_text(to_hex(run.trace_hash))
    empty = "WebAssembly.compile(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)).then(() => 'compiled', () => 'refused')"
    assert page.evaluate(empty) == "compiled"
    page.goto(f"{site.url}/wallet")
    assert page.evaluate(empty) == "refused"


def flipped() -> Parameters:
    """The model `long`, but for one bit of one weight."""
    model = golden.fixed_llama(LONG, qkv_exponent=34)
    model.layers[1].down.weight[3, 7] ^= 1
    return model


def test_one_flipped_bit_is_seen(page: Page, site: Site) -> None:
    """A node that computed with one wrong bit signed another trace: the page says so, and where it first differs."""
    claimed, address = site.job("long", flipped(), GREEDY)
    run_again(page, address)
    expect(page.locator("#say")).to_contain_text(OTHER)
    right = ExactGeneration(
        KernelWay(kernels.loaded("portable", 1)).llama(MODELS["long"]), workload(site.folder / "long.safetensors")
    )
    run = right.execute(PROMPTS, GREEDY.of(right.manifest.params))
    expect(page.locator("#hash")).to_have_text(to_hex(run.trace_hash))
    found = trace.first_difference(claimed.trace, run.trace)
    assert found is not None
    said = f"the traces in text {found[0]}, tokens {found[1][0]} to {found[1][-1]}"
    expect(page.locator("#first")).to_contain_text(said)
    tokens = first_difference(claimed.output, run.output)
    expect(page.locator("#first")).to_contain_text(tokens or "First difference: the traces")


def test_another_model_file_is_refused(page: Page, site: Site) -> None:
    """The workload names its model's digest: with one bit flipped in the file nothing is computed."""
    _, address = site.job("long", MODELS["long"], GREEDY)
    whole = bytearray((site.folder / "long.safetensors").read_bytes())
    whole[-1] ^= 1
    (site.folder / "flipped.safetensors").write_bytes(whole)
    run_again(page, address.replace("long.safetensors", "flipped.safetensors"))
    expect(page.locator("#say")).to_contain_text("This file is not the workload's model: its sha256 is")
    expect(page.locator("#result")).to_be_hidden()


@pytest.mark.parametrize(
    ("signed", "fact"),
    [
        ({"node": "0x" + "77" * 20}, "the commitment is signed by its node"),
        ({"trace_commit": "0x" + "77" * 32}, "the trace that was shown is the one that the node signed"),
        ({"order_id": "0x" + "77" * 32}, f"the log of escrow {DOMAIN.verifying_contract} on chain 31337 has the order"),
    ],
    ids=["node", "trace", "order"],
)
def test_what_nobody_signed_is_not_believed(page: Page, site: Site, signed: dict[str, str], fact: str) -> None:
    """The log is not believed: a commitment in another node's name, another trace and another order are found out."""
    _, address = site.job("long", MODELS["long"], GREEDY, **signed)
    run_again(page, address)
    expect(page.locator("#say")).to_contain_text(f"Does not hold: {fact}")


_GOLDEN = """async ([address, tokens, chunk]) => {
  const { Llama } = await import('/rerun/llama.js');
  const bytes = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
  const model = new Llama(await WebAssembly.compile(await bytes('/rerun/kernels.wasm')), await bytes(address));
  const rows = [];
  for (let used = 0; used < tokens.length; used += chunk) {
    const piece = tokens.slice(used, used + chunk);
    rows.push(...model.read(used, piece, piece.length).map((row) => [...row]));
  }
  return rows;
}"""


@pytest.mark.parametrize("chunk", [1, 5, 24])
@pytest.mark.parametrize("model", ["golden", "family"])
def test_golden_logits(page: Page, site: Site, model: str, chunk: int) -> None:
    """Decode, chunks and prefill in WebAssembly: the hashes that every host must give."""
    page.goto(f"{site.url}/rerun/")
    rows = page.evaluate(_GOLDEN, [f"/{model}.safetensors", list(golden.GOLDEN_TOKENS), chunk])
    pinned = {"golden": golden.GOLDEN_LOGITS, "family": golden.GOLDEN_FAMILY_LOGITS}[model]
    assert hashlib.sha256(np.array(rows, "<i4").tobytes()).hexdigest() == pinned


_CHOICES = """async ([exp2, cases]) => {
  const { choose } = await import('/rerun/sampling.js');
  const table = Int32Array.from(exp2);
  return cases.map(([logits, temperature, topP, seed, text, step]) =>
    choose(Int32Array.from(logits), table, { temperature, topP, seed: Uint8Array.from(seed) }, text, step));
}"""


def test_choices_are_the_engines(page: Page, site: Site) -> None:
    """Over logits of every spread, with ties, at every temperature and top-p: the token that the engine chooses."""
    random, exp2 = np.random.default_rng(1), MODELS["golden"].exp2.astype(np.int64)
    cases: list[tuple[Any, ...]] = []
    for case in range(300):
        most = 1 << int(random.integers(1, 32))
        logits = np.clip(random.integers(-most, most, 1 + case), -(2**31) + 1, 2**31 - 1)
        temperature, top_p = int(random.integers(0, 2001)) * (case % 7 > 0), int(random.integers(1, 1_000_001))
        cases.append((logits.tolist(), temperature, top_p, list(random.bytes(32)), case % 5, case))
    expected = [
        choose(np.array(logits, np.int32), exp2, ExactSampling(temperature, top_p, bytes(seed)), text, step)
        for logits, temperature, top_p, seed, text, step in cases
    ]
    page.goto(f"{site.url}/rerun/")
    assert page.evaluate(_CHOICES, [exp2.tolist(), cases]) == expected
