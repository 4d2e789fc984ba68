"""One network, one browser; each test opens its own pages, watched for anything that a console would show as wrong."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from backend.client import AssayClient, Wallet
from deploy.localnet.network import Network
from tests.browser import network as net
from tests.browser.wallet import TestWallet
from tests.world.chromium import chromium

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 780}
expect.set_options(timeout=60_000)

Open = Callable[..., Page]


def look_again(page: Page) -> None:
    """What a browser says when its connection is back: the pages look at once instead of in some seconds."""
    page.evaluate("window.dispatchEvent(new Event('online'))")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these start a chain and its processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.chain)


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """The running network, shared by all tests; each uses a requester of its own."""
    with net.running(tmp_path_factory.mktemp("network")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The one that all tests share."""
    with chromium() as launched:
        yield launched


@pytest.fixture
def open_page(browser: Browser, network: Network) -> Iterator[Open]:
    """Opens a path of the backend in a fresh browser profile, with a wallet or without one."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def opener(
        path: str, wallet: TestWallet | None = None, *, phone: bool = False, announces: bool = True, dark: bool = False
    ) -> Page:
        context = browser.new_context(
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]  # a dict is what it takes
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        if wallet is not None:
            wallet.inject(context, announces=announces)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("console", lambda said: faults.append(f"console: {said.text}") if said.type == "error" else None)
        page.goto(network.backend_url + path)
        return page

    yield opener
    for context in contexts:
        context.close()
    # A refused request is the browser's own line; what the page makes of it is for the test to see.
    unexpected = [fault for fault in faults if "Failed to load resource" not in fault]
    assert not unexpected, unexpected


@pytest.fixture
def wallet_of(network: Network) -> Callable[..., TestWallet]:
    """A requester's wallet."""
    return lambda name, **changes: TestWallet(net.REQUESTERS[name], network.rpc_url, **changes)


@pytest.fixture(scope="session", autouse=True)
def noticed(network: Network, funded: Callable[[str], None]) -> str:
    """A requester who gave notice early in the session, so that who withdraws last need not wait for all of it."""
    funded("dee")
    Wallet(network.chain(), net.REQUESTERS["dee"]).give_notice()
    return "dee"


@pytest.fixture(scope="session", autouse=True)
def ordered(network: Network, funded: Callable[[str], None]) -> str:
    """An order that is given early in the session, so that it has settled when a test needs that."""
    funded("fay")
    with AssayClient(network.backend_url, net.REQUESTERS["fay"]) as client:
        return client.submit("one for the books", max_new_tokens=8).order_id


@pytest.fixture(scope="session")
def settled(network: Network, ordered: str) -> str:
    """An order that went the whole way."""
    with AssayClient(network.backend_url, net.REQUESTERS["fay"]) as client:
        assert client.wait(ordered, settled=True, timeout_s=120).state == "paid"
    return ordered


@pytest.fixture(scope="session")
def funded(network: Network) -> Callable[[str], None]:
    """Puts a token into a requester's lane without a page."""
    return lambda name: net.deposit(network, name, net.TOKEN)
