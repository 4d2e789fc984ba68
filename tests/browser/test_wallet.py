"""A requester's life in a browser: real Chromium, a wallet that signs with a real key, a real chain, backend and node.

Covers: A51 (no key ever reaches a page).
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
from playwright.sync_api import Locator, Page, expect

from backend.client.wallet import Wallet
from contracts.protocol.manifest import IntegerRange
from deploy.localnet.network import Network
from tests.browser.conftest import Open, look_again
from tests.browser.network import CONSTANTS, FIXED_PRICE, MANIFEST, offer, offered_beside
from tests.browser.wallet import TestWallet

WalletOf = Callable[..., TestWallet]
SETTLES_MS = 120_000


def connect(page: Page) -> None:
    """Connects the announced wallet and waits for the workspace."""
    page.get_by_role("button", name="Test Wallet").click()
    expect(page.get_by_role("heading", name="Money", exact=True)).to_be_visible()
    expect(page.locator("#balance")).not_to_have_text("…")


def order(page: Page, text: str, tokens: int = 32) -> None:
    """Fills in and signs an order."""
    page.get_by_label("What do you want to ask?").fill(text)
    page.get_by_label("New tokens, at most").fill(str(tokens))
    page.get_by_role("button", name="Sign and order").click()


def said(page: Page, place: str) -> Locator:
    """The live region beside a button."""
    return page.locator(f"#{place}-say")


def test_connect_deposit_order_receipt(open_page: Open, wallet_of: WalletOf, network: Network) -> None:
    """Protects the main path: one signature deposits, one orders, and the receipt shows no more than was signed."""
    wallet = wallet_of("ana")
    page = open_page("/wallet", wallet)
    connect(page)
    expect(page.locator("#held")).to_have_text("100\u00a0ADEV")
    page.get_by_label("Deposit into your lane").fill("1.5")
    page.get_by_role("button", name="Deposit").click()
    expect(said(page, "deposit")).to_have_text("1.5\u00a0ADEV are in your lane.")
    expect(page.locator("#balance")).to_have_text("1.5\u00a0ADEV")
    assert (wallet.count("eth_signTypedData_v4"), wallet.count("eth_sendTransaction")) == (1, 1)
    assert wallet.signed[0]["message"]["value"] == str(15 * 10**17), "the permit is for exactly the deposit"

    page.get_by_label("What do you want to ask?").fill("Why is the sky blue?")
    expect(page.locator("#price")).to_contain_text("at most 0.034\u00a0ADEV for up to 32 completion tokens")
    page.get_by_role("button", name="Sign and order").click()
    expect(page.locator("#job")).to_be_focused()
    expect(page.locator("#job .answered")).to_have_text("You said: Why is the sky blue?")
    expect(page.locator("#job-charged")).to_contain_text("when it settles")
    expect(page.locator("#job-state")).to_have_text("Settled on chain: the node was paid.", timeout=SETTLES_MS)
    expect(page.locator("#job-signed")).to_have_text("0.034\u00a0ADEV")
    expect(page.locator("#job-charged")).to_have_text("0.033\u00a0ADEV")
    expect(page.locator("#checks .true")).to_have_count(6)
    expect(page.locator("#checks li").last).to_contain_text("The settlement on chain charged this row")
    expect(page.locator("#job-distrust")).to_be_hidden()
    expect(page.locator("#charged")).to_have_text("0.033\u00a0ADEV")
    expect(page.locator("#history .chip")).to_have_text(["paid"])
    signed = wallet.signed[1]["message"]
    assert int(signed["spendCap"]) == int(signed["terms"]["maxPrice"]) == 34_000_000, "charged + open + this maximum"
    lane = Wallet(network.chain(), wallet.key).lane()
    assert lane.charged == 33_000_000 <= lane.cap_proven == 34_000_000
    _check_receipt(page)
    _no_key_in(page, wallet)


def _check_receipt(page: Page) -> None:
    with page.expect_download() as download:
        page.get_by_role("link", name="Download receipt").click()
    receipt = json.loads(download.value.path().read_text())
    assert "order" in receipt, sorted(receipt)
    assert download.value.suggested_filename.startswith("receipt-0x")


def _no_key_in(page: Page, wallet: TestWallet) -> None:
    key = wallet.key.private_key().hex()
    stored = page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])")
    assert key not in page.content() + stored


def test_a_batch_and_the_history(open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None]) -> None:
    """Protects batches: several texts are one order with one price; the page shows each answer under its question, and
    finds the order again after a reload without asking the wallet anew.
    """
    funded("bo")
    wallet = wallet_of("bo")
    page = open_page("/wallet", wallet)
    connect(page)
    page.get_by_label("What do you want to ask?").fill("one")
    page.get_by_role("button", name="Add another text").click()
    page.get_by_label("Text 2").fill("two words")
    page.get_by_label("New tokens, at most").fill("20")
    expect(page.locator("#price")).to_contain_text("at most 0.042\u00a0ADEV for up to 40 completion tokens")
    page.get_by_role("button", name="Sign and order").click()
    expect(page.locator("#job .answered")).to_have_text(["You said: one", "You said: two words"])
    page.reload()
    expect(page.locator("#history button")).to_have_count(1)
    assert wallet.count("eth_requestAccounts") == 1
    page.locator("#history button").click()
    expect(page.locator("#job .asked")).to_have_text(["one", "two words"])
    page.get_by_role("button", name="Change").click()
    expect(page.get_by_role("button", name="Test Wallet")).to_be_focused()


def test_answers_and_prompts_are_only_ever_text(
    open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None]
) -> None:
    """Protects readers from what others wrote: markup in a prompt and in its answer is shown, never interpreted."""
    funded("bo")
    page = open_page("/wallet", wallet_of("bo"))
    connect(page)
    probe = '<img src=x onerror="pwned=1"><script>pwned=1</script>'
    order(page, probe, 64)
    expect(page.locator("#job .asked")).to_have_text(probe)
    expect(page.locator("#job .answered")).to_have_text(f"You said: {probe}")
    assert page.evaluate("window.pwned") is None
    assert page.locator("#job img, #job script").count() == 0


def test_wrong_chain_is_switched_and_added(open_page: Open, wallet_of: WalletOf) -> None:
    """Protects from signing for another chain: nothing can be done there; the page offers the way, adding the chain
    with the backend's public RPC URL when the wallet does not know it.
    """
    wallet = wallet_of("eve", chain_id=1, known={1})
    page = open_page("/wallet", wallet)
    page.get_by_role("button", name="Test Wallet").click()
    expect(page.locator("#wrong-text")).to_contain_text("on chain 1. This backend works on chain 31337")
    expect(page.locator("#workspace")).to_be_hidden()
    wallet.declines = {"wallet_switchEthereumChain"}
    page.get_by_role("button", name="Switch network").click()
    expect(said(page, "wrong")).to_contain_text("You declined in your wallet")
    wallet.declines = set()
    page.get_by_role("button", name="Switch network").click()
    expect(page.get_by_role("heading", name="Money", exact=True)).to_be_visible()
    assert [chain["rpcUrls"] for chain in wallet.added] == [[wallet.rpc_url]]
    assert wallet.count("eth_sendTransaction") == wallet.count("eth_signTypedData_v4") == 0


def test_declined_requests_change_nothing(open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None]) -> None:
    """Protects the one who says no: connecting, the permit, the transaction and the order can each be declined."""
    funded("eve")
    wallet = wallet_of("eve", declines={"eth_requestAccounts"})
    page = open_page("/wallet", wallet)
    page.get_by_role("button", name="Test Wallet").click()
    expect(said(page, "connect")).to_contain_text("You declined")
    wallet.declines = {"eth_sendTransaction"}
    connect(page)
    before = page.locator("#balance").text_content()
    page.get_by_label("Deposit into your lane").fill("1")
    page.get_by_role("button", name="Deposit").click()
    expect(said(page, "deposit")).to_have_text("You declined in your wallet. Nothing was signed or sent.")
    assert (wallet.count("eth_signTypedData_v4"), wallet.count("eth_sendTransaction")) == (1, 1)
    wallet.declines = {"eth_signTypedData_v4"}
    order(page, "never ordered")
    expect(said(page, "order")).to_contain_text("You declined")
    said(page, "deposit").evaluate("place => place.textContent = ''")
    page.get_by_role("button", name="Deposit").click()
    expect(said(page, "deposit")).to_contain_text("You declined")
    assert wallet.count("eth_sendTransaction") == 1, "without a permit there is no transaction"
    expect(page.locator("#balance")).to_have_text(str(before))
    expect(page.locator("#history-none")).to_be_visible()


def test_money_that_is_not_there(open_page: Open, wallet_of: WalletOf) -> None:
    """Protects from transactions and signatures that could only fail: each says how much is missing and of what."""
    wallet = wallet_of("poor")
    page = open_page("/wallet", wallet)
    connect(page)
    for amount, words in (
        ("5", "Your wallet holds 0\u00a0ADEV; you asked to deposit 5\u00a0ADEV. Deposit less."),
        ("0", "Zero is too little"),
        ("1.0000000001", "finer than the escrow counts"),
        ("much", "“much” is no amount of tokens"),
    ):
        page.get_by_label("Deposit into your lane").fill(amount)
        page.get_by_role("button", name="Deposit").click()
        expect(said(page, "deposit")).to_contain_text(words)
    order(page, "I cannot pay")
    expect(said(page, "order")).to_contain_text(
        "may cost 0.034\u00a0ADEV, and your lane has 0\u00a0ADEV free. Deposit at least"
    )
    page.get_by_label("New tokens, at most").fill("65")
    expect(page.locator("#price")).to_contain_text("“65” is outside 1 to 64")
    order(page, " ")
    expect(said(page, "order")).to_contain_text("no text may be empty")
    order(page, "x" * 1001)
    expect(said(page, "order")).to_contain_text("1001 bytes; at most 1000 are accepted")
    assert wallet.count("eth_signTypedData_v4") == wallet.count("eth_sendTransaction") == 0


SAMPLED = MANIFEST.model_copy(
    update={
        "model": "nobodys",
        "params": {
            "max_new_tokens": IntegerRange(minimum=1, maximum=512),
            "seed": IntegerRange(minimum=0, maximum=2**53 - 1, default=0),
            "temperature_milli": IntegerRange(minimum=0, maximum=2000, default=700),
            "top_p_ppm": IntegerRange(minimum=1, maximum=1_000_000, default=1_000_000),
        },
    }
)


def test_what_nobody_serves_is_said_before_signing(
    open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None], network: Network
) -> None:
    """Protects who would wait for nothing: it is said, nothing is signed without a tick; and the parameters stand at
    the manifest's defaults in the units that people use, and are signed in the manifest's.
    """
    funded("gus")
    wallet = wallet_of("gus")
    with offered_beside(network, SAMPLED):
        page = open_page("/wallet", wallet)
        connect(page)
        page.locator("#workload").select_option(MANIFEST.workload_id())
        expect(page.locator("#nobody")).to_be_hidden()
        page.locator("#workload").select_option(SAMPLED.workload_id())
        expect(page.locator("#nobody")).to_contain_text("Nobody serves this workload now")
        expect(page.locator("#order-form")).to_contain_text("anyone can read your text")
        for label, value in (("Temperature", "0.7"), ("Top p", "1"), ("Seed", "0"), ("New tokens, at most", "64")):
            expect(page.get_by_label(label, exact=True)).to_have_value(value)
        page.get_by_label("Temperature").fill("0.25")
        order(page, "is anybody there?", 2)
        expect(said(page, "order")).to_contain_text("Nobody serves this workload now. Nothing was signed.")
        assert wallet.count("eth_signTypedData_v4") == 0
        page.get_by_label("Order anyway").check()
        page.get_by_role("button", name="Sign and order").click()
        expect(page.locator("#job-state")).to_have_text("Waits for a node.")
        (found,) = httpx.get(f"{network.backend_url}/v1/orders?requester={wallet.key.address}").json()
        assert found["order"]["terms"]["params"] == {
            "max_new_tokens": 2,
            "seed": 0,
            "temperature_milli": 250,
            "top_p_ppm": 1_000_000,
        }


def test_an_order_is_no_larger_than_what_is_offered(
    open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None]
) -> None:
    """Protects from a refusal after signing: both numbers are named in the page."""
    funded("hal")
    wallet = wallet_of("hal")
    page = open_page("/wallet", wallet)
    connect(page)
    page.get_by_role("button", name="Add another text").click()
    page.get_by_label("Text 2").fill("two")
    order(page, "one", 33)
    expect(page.locator("#price")).to_contain_text("could take 66 completion tokens; one order may take 64")
    expect(said(page, "order")).to_contain_text("one order may take 64")
    assert wallet.count("eth_signTypedData_v4") == 0


def test_a_cut_answer_says_so(open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None]) -> None:
    """Protects from taking half an answer for a whole one, under the answer and in the list of orders."""
    funded("hal")
    page = open_page("/wallet", wallet_of("hal"))
    connect(page)
    order(page, "three words more", 15)
    expect(page.locator("#job .answered")).to_have_text("You said: three")
    expect(page.locator("#job .cut")).to_have_text("Cut at 15 tokens, the most that you ordered.")
    expect(page.locator("#history button").first).to_contain_text("answer cut")
    order(page, "whole", 32)
    expect(page.locator("#job .answered")).to_have_text("You said: whole")
    expect(page.locator("#job .cut")).to_have_count(0)
    expect(page.locator("#history button").first).not_to_contain_text("answer cut")


@contextmanager
def dearer(network: Network) -> Iterator[None]:
    """Meanwhile the price sheet asks twice as much for a job."""
    offer(network, fixed_price=2 * FIXED_PRICE)
    yield
    offer(network)


def test_refusals_and_silence_of_the_backend(
    open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None], network: Network
) -> None:
    """Protects from mute failures: the backend's own words and code are shown, and that it does not answer."""
    funded("chi")
    page = open_page("/wallet", wallet_of("chi"))
    connect(page)

    with dearer(network):
        order(page, "at yesterday's price")
        expect(said(page, "order")).to_contain_text("The backend refused (price_too_low)")
        expect(said(page, "order")).to_contain_text(str(2 * FIXED_PRICE))
    page.route("**/v1/**", lambda route: route.abort())
    look_again(page)
    expect(page.get_by_role("alert").first).to_contain_text("The backend does not answer")
    page.unroute("**/v1/**")
    look_again(page)
    expect(page.locator("#backend-alert")).to_be_hidden()


def test_a_backend_that_lies_is_named(open_page: Open, wallet_of: WalletOf, network: Network, settled: str) -> None:
    """Protects from a backend's word: another amount, or a leaf elsewhere, does not check out here."""
    page = open_page("/wallet", wallet_of("fay"))
    connect(page)
    view = httpx.get(f"{network.backend_url}/v1/orders/{settled}").json()
    view["amount_units"] += 1
    page.route(re.compile(rf"/v1/orders/{settled}$"), lambda route: route.fulfill(json=view))
    page.locator("#history button").first.click()
    expect(page.locator("#job-distrust")).to_be_visible()
    expect(page.locator("#checks .false")).to_have_count(2)


def test_keyboard_alone(open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None]) -> None:
    """Protects who uses no pointer: from the address bar to an answer with Tab, Enter and typing."""
    funded("eve")
    page = open_page("/wallet", wallet_of("eve"))
    expect(page.get_by_role("button", name="Test Wallet")).to_be_visible()

    def tab_to(target: Locator) -> None:
        for _ in range(30):
            page.keyboard.press("Tab")
            if target.evaluate("(e) => e === document.activeElement"):
                return
        raise AssertionError(f"{target} is not reached by Tab")

    tab_to(page.get_by_role("link", name="Skip to content"))
    tab_to(page.get_by_role("button", name="Test Wallet"))
    page.keyboard.press("Enter")
    expect(page.locator("#balance")).not_to_have_text("…")
    tab_to(page.get_by_label("What do you want to ask?"))
    page.keyboard.type("by keyboard")
    tab_to(page.get_by_role("button", name="Sign and order"))
    page.keyboard.press("Enter")
    expect(page.locator("#job .answered")).to_have_text("You said: by keyboard")
    expect(page.locator("#job")).to_be_focused()


def test_window_ethereum_and_no_wallet(open_page: Open, wallet_of: WalletOf) -> None:
    """Protects both ends: a wallet that only sets window.ethereum is found, and without any the page says so."""
    page = open_page("/wallet", wallet_of("eve"), announces=False)
    page.get_by_role("button", name="Browser wallet").click()
    expect(page.get_by_role("heading", name="Money", exact=True)).to_be_visible()
    page = open_page("/wallet")
    expect(page.locator("#no-wallet")).to_contain_text("No wallet found in this browser. Install one")


def test_notice_blocks_orders_and_can_be_cancelled(
    open_page: Open, wallet_of: WalletOf, funded: Callable[[str], None]
) -> None:
    """Protects the order of things: under notice nothing can be ordered, and cancelling it opens the lane again."""
    funded("eve")
    page = open_page("/wallet", wallet_of("eve"))
    connect(page)
    page.get_by_role("button", name="Give notice").click()
    expect(page.locator("#notice-state")).to_contain_text("Notice given. You can withdraw from")
    expect(page.locator("#countdown")).to_have_text(re.compile(r"^\d+ s$"))
    order(page, "too late")
    expect(said(page, "order")).to_contain_text("You gave notice of a withdrawal, so no orders are accepted")
    page.get_by_role("button", name="Cancel notice").click()
    expect(said(page, "notice")).to_have_text("Notice cancelled. You can order again.")
    expect(page.locator("#countdown")).to_be_hidden()


def test_withdraw_after_notice(open_page: Open, wallet_of: WalletOf, noticed: str) -> None:
    """Protects the exit: the page counts down on the contract's clock, refuses more than is there, and pays out."""
    wallet = wallet_of(noticed)
    page = open_page("/wallet", wallet)
    connect(page)
    expect(page.get_by_label("Withdraw to your wallet")).to_be_visible(timeout=CONSTANTS.notice_s * 1000)
    page.get_by_label("Withdraw to your wallet").fill("7")
    page.get_by_role("button", name="Withdraw").click()
    expect(said(page, "notice")).to_contain_text("This would fail: the lane holds 1000000000 units")
    page.get_by_role("button", name="Fill in everything").click()
    expect(page.get_by_label("Withdraw to your wallet")).to_have_value("1")
    page.get_by_role("button", name="Withdraw").click()
    expect(said(page, "notice")).to_have_text("1\u00a0ADEV are back in your wallet.")
    expect(page.locator("#balance")).to_have_text("0\u00a0ADEV")
    expect(page.locator("#held")).to_have_text("100\u00a0ADEV")
    assert wallet.count("eth_sendTransaction") == 1, "what could only fail was never sent"
