"""The one way in which tests start Anvil."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from contracts.onchain.chain import connect
from contracts.onchain.rpc import Rpc
from deploy.localnet.anvil import answers, find_anvil
from deploy.localnet.processes import free_port
from tests.world.waiting import eventually

CHAIN_ID = 31337


@contextmanager
def anvil(*options: str, chain_id: int = CHAIN_ID) -> Iterator[str]:
    """A chain of its own that mines each transaction at once, unless `options` say otherwise. Yields its URL."""
    port = free_port()
    with subprocess.Popen([find_anvil(), *_options(port, chain_id), *options]) as process:
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: _answers(process, url), poll_s=0.02)
            yield url
        finally:
            process.terminate()


def rpc(w3: Rpc, method: str, *params: Any) -> Any:
    """The result of one call, of Anvil's own methods too."""
    return w3.request(method, *params)


def give_ether(w3: Rpc, addresses: Sequence[str]) -> None:
    """A thousand each, so that they can send transactions."""
    for address in addresses:
        rpc(w3, "anvil_setBalance", address, hex(10**21))


def pass_time(w3: Rpc, seconds: int) -> None:
    """Moves the chain's time, which stays ahead of the clock: not beside programs that live by the clock."""
    rpc(w3, "evm_increaseTime", seconds)
    rpc(w3, "evm_mine")


def remembering(rpc_url: str) -> Rpc:
    """A connection that asks for everything once, for many looks at a chain that does not change meanwhile."""
    w3 = connect(rpc_url)
    ask, known = w3.request, dict[str, Any]()

    def request(method: str, *params: Any) -> Any:
        key = json.dumps([method, params])
        if key not in known:
            known[key] = ask(method, *params)
        return known[key]

    w3.request = request  # type: ignore[method-assign]
    return w3


def _options(port: int, chain_id: int) -> list[str]:
    return ["--port", str(port), "--hardfork", "prague", "--chain-id", str(chain_id), "--silent"]


def _answers(process: "subprocess.Popen[bytes]", url: str) -> bool:
    assert process.poll() is None, f"anvil ended with {process.returncode}"
    return answers(url)
