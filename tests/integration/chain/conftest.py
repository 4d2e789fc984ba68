"""Chains for the tests of this folder."""

import subprocess
import threading
from collections.abc import Iterator

import pytest
from web3 import Web3

from backend.chain.embedded import EmbeddedChain
from backend.chain.rpc_server import mine_in_background, serve
from contracts.onchain.chain import connect
from deploy.localnet.anvil import answers, anvil_options, find_anvil
from deploy.localnet.processes import free_port


@pytest.fixture(params=["embedded", "anvil"])
def w3(request: pytest.FixtureRequest) -> Iterator[Web3]:
    """A fresh chain of each kind."""
    yield from (embedded() if request.param == "embedded" else anvil())


def embedded() -> Iterator[Web3]:
    """py-evm in this process, behind its HTTP server."""
    chain = EmbeddedChain()
    server = serve(chain, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop = mine_in_background(chain, 0.2)
    yield connect(f"http://127.0.0.1:{server.server_port}")
    stop.set()
    server.shutdown()
    server.server_close()


def anvil() -> Iterator[Web3]:
    """Anvil as a process."""
    port = free_port()
    with subprocess.Popen([find_anvil(), *anvil_options(port)]) as process:
        url = f"http://127.0.0.1:{port}"
        while not answers(url):
            assert process.poll() is None
        yield connect(url)
        process.terminate()
