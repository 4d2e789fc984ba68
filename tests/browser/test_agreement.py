"""The agreement in JavaScript against the golden vectors that Solidity and Python read too, run in the real browser."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from contracts.onchain.artifacts import artifact
from contracts.protocol.manifest import Manifest
from contracts.protocol.texts import encode_texts
from tests.browser.conftest import Open
from tests.browser.network import MANIFEST

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
    workload_id: a.workloadId[i], input_hash: a.inputHash[i], params_hash: a.paramsHash[i], comparator: a.comparator[i],
    copies: a.copies[i], visibility: a.visibility[i], fixed_price: a.fixedPrice[i], unit_price: a.unitPrice[i],
    max_price: a.maxPrice[i], deadline: a.deadline[i], salt: a.salt[i] } }))));
"""
_COMMITMENT = """
return a.chainId.map((_, i) => m.toHex(m.digestOf(m.commitmentData(
  { chain_id: a.chainId[i], escrow: a.verifyingContract[i] },
  { order_id: a.orderId[i], node: a.node[i], output_hash: a.outputHash[i], trace_commit: a.traceCommit[i],
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
    body = """return a.units.map((units, i) => m.amountOf({ fixed_price: a.fixedPrice[i], unit_price: a.unitPrice[i],
      max_price: a.maxPrice[i] }, units).toString());"""
    assert in_page(page, "shared/protocol.js", body, amounts) == amounts["amountUnits"]


_METERS = """
return a.cases.map(([manifest, texts, params]) =>
  [m.mostUnits(manifest, texts, params), m.canonical(texts), m.hashJson(params)]);
"""


def test_metering_and_canonical_json_equal_pythons(page: Page) -> None:
    """Protects the cap that is signed and the input's hash, for every meter and for texts that JSON must escape."""
    from contracts.protocol.canonical import hash_json
    from contracts.protocol.hashing import to_hex

    input_tokens = Manifest.model_validate(
        MANIFEST.model_dump()
        | {"meter": "input_tokens", "params": {}, "input": MANIFEST.input.model_copy(update={"overhead_tokens": 2})}
    )
    texts = ["plain", 'quote " and \\ and \n\t\u0001\u007f\u2028', "ünïcödé 漢字 🙂", "x" * 2000]
    cases = [
        (MANIFEST, texts, {"max_new_tokens": 7}),
        (input_tokens, texts, {}),
        (MANIFEST, texts[:1], {"max_new_tokens": 1}),
    ]
    sent = {"cases": [[manifest.model_dump(mode="json"), some, params] for manifest, some, params in cases]}
    assert in_page(page, "shared/protocol.js", _METERS, sent) == [
        [manifest.most_units(some, params), encode_texts(some).decode(), to_hex(hash_json(params))]
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
