"""The pages as anyone sees them: figures of the chain, every size of screen, and nothing loaded from elsewhere."""

import json
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from deploy.localnet.network import Network
from deploy.localnet.processes import assay_command
from tests.browser.conftest import Open, look_again
from tests.browser.wallet import TestWallet

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
WALLET_PAGE_BYTES = 70_000
"""Everything that a first visit of the wallet page transfers, compressed."""


@pytest.mark.usefixtures("settled")
def test_figures_are_those_of_the_chain(open_page: Open, network: Network, tmp_path: Path) -> None:
    """Protects the public figure: unexplained wei is 0, held is what the token says what an auditor recomputes, and
    the epochs are those of the contract with their transactions; and requesters: who serves a workload is there to see.
    """
    page = open_page("/")
    expect(page.locator("#unexplained")).to_have_text("0")
    expect(page.locator("#sheet tr td").last).to_have_text("1 node")
    chain = network.chain()
    last = int(chain.escrow.functions.lastEpoch().call())
    expect(page.locator("#epochs tr")).not_to_have_count(0)
    shown = {int(row.locator("td").first.text_content() or 0) for row in page.locator("#epochs tr").all()}
    assert set(range(1, last + 1)) <= shown
    posts = {
        e.args["id"]: "0x" + e.tx_hash.hex() for e in chain.events(0, chain.head().number) if e.name == "EpochPosted"
    }
    for epoch in httpx.get(f"{network.backend_url}/v1/epochs").json():
        if epoch["post_tx"]:
            assert posts[epoch["epoch_id"]] == epoch["post_tx"]
    report = tmp_path / "audit.json"
    log = ["--log", f"{network.backend_url}/v1/log", "--json", str(report)]
    subprocess.run(
        [assay_command(), "audit", "--rpc", network.rpc_url, "--escrow", network.deployment.escrow, *log],
        cwd=tmp_path, check=False, capture_output=True,
    )  # fmt: skip
    audit = json.loads(report.read_text())
    books = httpx.get(f"{network.backend_url}/v1/books").json()
    assert audit["unexplained_wei"] == books["unexplained_wei"] == 0
    assert sum(c["held_wei"] for c in books["contracts"]) == sum(
        chain.balance_wei(c["address"]) for c in books["contracts"]
    )


def test_a_donation_is_shown_apart_and_nothing_flickers(open_page: Open, network: Network) -> None:
    """Protects the figure from gifts: tokens that somebody sends into a contract are donated, not unexplained. And the
    reader's place: rows that did not change are the same elements after a refresh.
    """
    page = open_page("/")
    founder, chain = network.founder(), network.chain()
    donated = page.locator("#books tr").first.locator("td").nth(3)
    expect(donated).to_have_text("0\u00a0ADEV")
    page.evaluate("window.kept = [...document.querySelectorAll('#nodes tr, #nodes td, #books tr')]")
    founder.call(chain.token.functions.transfer(chain.escrow.address, 123 * 10**18))
    expect(donated).to_have_text("123\u00a0ADEV")
    expect(page.locator("#unexplained")).to_have_text("0")
    assert page.evaluate("kept.length > 3 && kept.every((element) => element.isConnected)")


def test_who_is_watched_is_seen(open_page: Open, tmp_path: Path) -> None:
    """Protects requesters of native work: whose work is in doubt is marked, on a screen of any size; nobody else is."""
    page = open_page("/", phone=True)
    marks = page.locator("#nodes .chip")
    expect(page.locator("#nodes tr")).not_to_have_count(0)
    expect(marks).to_have_count(0)
    native: dict[str, object] = {}
    page.route("**/v1/nodes", partial(_as_if, native))
    for state, says in (("watch", "on watch"), ("withheld", "native work withheld")):
        native.update(state=state, least_rate_ppm=500_000)
        look_again(page)
        expect(marks.first).to_have_text(says)
        _is_sound(page, tmp_path / "nodes.png")
    native.clear()
    look_again(page)
    expect(marks).to_have_count(0)


def _as_if(native: dict[str, object], route: Route) -> None:
    """The nodes, with other standings on native work."""
    answer = route.fetch()
    route.fulfill(response=answer, json=[{**node, "native": {**node["native"], **native}} for node in answer.json()])


def test_the_backend_goes_away(open_page: Open) -> None:
    """Protects from stale figures: when the backend does not answer, the page says that they may be old."""
    page = open_page("/")
    expect(page.locator("#fresh")).to_have_text("Live")
    page.route("**/v1/**", lambda route: route.abort())
    look_again(page)
    expect(page.locator("#alert")).to_contain_text("The figures below may be old.")
    page.unroute("**/v1/**")
    look_again(page)
    expect(page.locator("#alert")).to_be_hidden()


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize(("phone", "dark"), [(False, True), (True, False)], ids=["desktop, dark", "phone, light"])
def test_every_screen(
    open_page: Open, wallet_of: Callable[..., TestWallet], phone: bool, dark: bool, tmp_path: Path
) -> None:
    """Protects phones and readers: nothing scrolls sideways at 360 px, and axe finds no fault, contrast included."""
    page = open_page("/", phone=phone, dark=dark)
    expect(page.locator("#books tr")).not_to_have_count(0)
    _is_sound(page, tmp_path / "public.png")
    page = open_page("/wallet", wallet_of("fay"), phone=phone, dark=dark)
    expect(page.get_by_role("button", name="Test Wallet")).to_be_visible()
    _is_sound(page, tmp_path / "connect.png")
    page.get_by_role("button", name="Test Wallet").click()
    expect(page.locator("#balance")).not_to_have_text("…")
    page.locator("#history button").first.click()
    expect(page.locator("#checks .true")).to_have_count(6)
    page.get_by_role("button", name="Sign and order").click()
    expect(page.locator("#order-say")).not_to_be_empty()
    _is_sound(page, tmp_path / "wallet.png")


def _is_sound(page: Page, picture: Path) -> None:
    page.screenshot(path=picture, full_page=True)
    width = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width[0] <= width[1], f"scrolls sideways: {width}"
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
    assert not found, [(fault["id"], [node["html"][:120] for node in fault["nodes"]]) for fault in found]


def test_a_visit_is_small_and_stays_here(open_page: Open, network: Network) -> None:
    """Protects speed and privacy: a first visit transfers little, all of it from the backend."""
    sizes: dict[str, int] = {}
    page = open_page("/wallet")
    page.on("response", lambda r: sizes.update({r.url: int(r.headers.get("content-length", 0))}))
    page.reload()
    expect(page.locator("#no-wallet")).to_be_visible()
    first = {url: int(httpx.get(url).headers["content-length"]) for url in sizes if "/v1/" not in url}
    assert all(url.startswith(network.backend_url) for url in sizes)
    assert 0 < sum(first.values()) <= WALLET_PAGE_BYTES
