"""The agreement in JavaScript against the golden vectors that Solidity and Python read too, run in the real browser."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from contracts.onchain.artifacts import artifact
from contracts.protocol.manifest import Manifest, Template
from contracts.protocol.texts import encode_texts
from tests.browser.conftest import Open
from tests.browser.network import MANIFEST
from tests.world.prompts import BYTES

VECTORS = Path(__file__).parents[2] / "contracts" / "vectors"


@pytest.fixture
def page(open_page: Open) -> Page:
    """A page that can import the modules."""
    return open_page("/wallet")


def columns(name: str) -> dict[str, list[Any]]:
    """One vector file: column -> values."""
    table: dict[str, list[Any]] = json.loads((VECTORS / f"{name}.json").read_text())[name]
    return table


def in_page(page: Page, module: str, body: str, argument: Any) -> Any:
    """Runs a function body over `m`, the module's exports, and `a`, the argument."""
    return page.evaluate(f"async (a) => {{ const m = await import('/web/{module}'); {body} }}", argument)


_ORDER = """
const network = (i) => ({ chain_id: a.chainId[i], escrow: a.verifyingContract[i] });
return a.chainId.map((_, i) => m.toHex(m.digestOf(m.orderData(network(i), {
  requester: a.requester[i], spend_cap: a.spendCap[i], terms: {
    workload_id: a.workloadId[i], prompt_root: a.promptRoot[i], texts_hash: a.textsHash[i],
    params: { max_new_tokens: a.maxNewTokens[i], temperature_milli: a.temperatureMilli[i], top_p_ppm: a.topPPpm[i],
      seed: a.seed[i] },
    comparator: a.comparator[i], copies: a.copies[i], visibility: a.visibility[i], fixed_price: a.fixedPrice[i],
    unit_price: a.unitPrice[i],
    max_price: a.maxPrice[i], deadline: a.deadline[i], salt: a.salt[i] } }))));
"""
_COMMITMENT = """
return a.chainId.map((_, i) => m.toHex(m.digestOf(m.commitmentData(
  { chain_id: a.chainId[i], escrow: a.verifyingContract[i] },
  { order_id: a.orderId[i], node: a.node[i], output_root: a.outputRoot[i], trace_commit: a.traceCommit[i],
    units: a.units[i] }))));
"""


_TREES = """
const chunks = (hex) => (hex.slice(2).match(/.{64}/g) ?? []).map((digits) => '0x' + digits);
return a.root.map((root, i) => {
  const leaf = m.fromHex(chunks(a.leaves[i])[a.index[i]]);
  const stands = (at) => m.isUnderRoot(leaf, at, a.count[i], chunks(a.siblings[i]), root);
  return [stands(a.index[i]), stands(a.index[i] + 1)];
});
"""


def test_ids_and_digests_equal_the_vectors(page: Page) -> None:
    """Protects signatures: orders and commitments have the same digests here as in Solidity and Python."""
    orders = columns("orders")
    assert in_page(page, "shared/protocol.js", _ORDER, orders) == orders["digest"]
    commitments = columns("commitments")
    assert in_page(page, "shared/protocol.js", _COMMITMENT, commitments) == commitments["digest"]


def test_signers_leaves_trees_and_amounts_equal_the_vectors(page: Page) -> None:
    """Protects what the page calls checked: recovery, leaves, proofs by position, the price formula."""
    signatures = columns("signatures")
    body = """return a.digest.map((d, i) => {
      try { return m.signerOf(m.fromHex(d), a.signature[i]); } catch { return '0x' + '00'.repeat(20); } });"""
    assert in_page(page, "shared/protocol.js", body, signatures) == signatures["signer"]
    leaves = columns("leaves")
    body = """return a.requester.map((_, i) => m.toHex(m.leafOf({ requester: a.requester[i], signer: a.signer[i],
      operatorId: a.operatorId[i], amountUnits: a.amountUnits[i], digest: a.digest[i] })));"""
    assert in_page(page, "shared/protocol.js", body, leaves) == leaves["leaf"]
    trees = columns("trees")
    assert in_page(page, "shared/protocol.js", _TREES, trees) == [[True, False]] * len(trees["root"])
    amounts = columns("amounts")
    body = """return a.units.map((units, i) => m.amountOf({ fixed_price: a.fixedPrice[i],
    unit_price: a.unitPrice[i],
      max_price: a.maxPrice[i] }, units).toString());"""
    assert in_page(page, "shared/protocol.js", body, amounts) == amounts["amountUnits"]


def test_packed_words_and_workloads_equal_the_vectors(page: Page) -> None:
    """Protects what is signed: roots of ids, and the names of workloads from their manifests, as forge and Python have
    them. Bytes that are no packed words have no root."""
    packed = columns("packed")
    body = "return a.packed.map((hex) => m.packedRoot(m.fromHex(hex)));"
    assert in_page(page, "shared/protocol.js", body, packed) == packed["root"]
    body = "return a.packed.map((hex) => m.toHex(m.pack(m.unpack(m.fromHex(hex)))));"
    assert in_page(page, "shared/protocol.js", body, packed) == packed["packed"]
    body = """return a.map((hex) => {
      try { return m.packedRoot(m.fromHex(hex)); } catch (error) { return error.name; } });"""
    wrong = ["0x", "0x000001", "0x0000000100000001", "0xffffffff", packed["packed"][0] + "00000000"]
    assert in_page(page, "shared/protocol.js", body, wrong) == ["RangeError"] * len(wrong)
    workloads = columns("workloads")
    body = "return a.manifest.map((text) => m.workloadId(m.utf8(text)));"
    assert in_page(page, "shared/protocol.js", body, workloads) == workloads["workloadId"]


_METERS = """
return a.cases.map(([manifest, texts, params]) =>
  [m.mostUnits(manifest, texts, params), m.canonical(texts)]);
"""


def test_metering_and_canonical_json_equal_pythons(page: Page) -> None:
    """Protects the cap that is signed and the texts' hash, for every meter and for texts that JSON must escape. The
    page bounds tokens by bytes, which with one token a byte is what Python counts."""
    input_tokens = Manifest.model_validate(
        MANIFEST.model_dump()
        | {"meter": "input_tokens", "params": {}, "template": Template(before=(0,), after=(2,)).model_dump()}
    )
    texts = ["plain", 'quote " and \\ and \n\t\u0001\u007f\u2028', "ünïcödé 漢字 🙂", "x" * 2000]
    cases = [
        (MANIFEST, texts, {"max_new_tokens": 7}),
        (input_tokens, texts, {}),
        (MANIFEST, texts[:1], {"max_new_tokens": 1}),
    ]
    sent = {"cases": [[manifest.model_dump(mode="json"), some, params] for manifest, some, params in cases]}
    assert in_page(page, "shared/protocol.js", _METERS, sent) == [
        [
            manifest.most_units(
                [min(manifest.input.max_tokens, len(manifest.prompt(BYTES.encode(text)))) for text in some],
                params.get("max_new_tokens", 0),
            ),
            encode_texts(some).decode(),
        ]
        for manifest, some, params in cases
    ]


def test_calls_and_errors_are_those_of_the_contracts(page: Page) -> None:
    """Protects every transaction: each function and each error that the pages name stands in the contracts' ABIs."""
    signatures = in_page(page, "wallet/chain.js", "return Object.values(m.FUNCTIONS);", None)
    explained = in_page(page, "shared/abi.js", "return m.EXPLAINED;", None)
    abis = artifact("JobEscrow").abi + artifact("DevToken").abi
    known = {
        f"{item['name']}({','.join(i['type'] for i in item['inputs'])})"
        for item in abis
        if item["type"] in ("function", "error")
    }
    assert set(signatures) <= known
    assert set(explained) <= known


def test_large_integers_survive_json(page: Page) -> None:
    """Protects amounts beyond 2^53, which a browser's JSON would round; digits inside of strings stay text."""
    page.route(
        "**/v1/large",
        lambda route: route.fulfill(body='{"n":18446744073709551615,"s":"n: 12345678901234567890\\\\\\"","k":7}'),
    )
    body = "const v = await m.getJson('v1/large'); return [v.n.toString(), typeof v.n, v.s, v.k];"
    assert in_page(page, "shared/api.js", body, None) == [
        "18446744073709551615",
        "bigint",
        'n: 12345678901234567890\\"',
        7,
    ]
