"""Chains for the tests of this folder."""

import threading
from collections.abc import Iterator

import pytest

from contracts.onchain.chain import connect
from contracts.onchain.rpc import Rpc
from deploy.localnet.chain.embedded import EmbeddedChain
from deploy.localnet.chain.rpc_server import mine_in_background, serve
from tests.world.anvil import anvil

BLOCK_S = 0.2


@pytest.fixture(params=["embedded", "anvil"])
def w3(request: pytest.FixtureRequest) -> Iterator[Rpc]:
    """A fresh chain of each kind."""
    if request.param == "embedded":
        yield from embedded()
        return
    with anvil("--block-time", str(BLOCK_S)) as url:
        yield connect(url)


def embedded() -> Iterator[Rpc]:
    """py-evm in this process, behind its HTTP server."""
    chain = EmbeddedChain()
    server = serve(chain, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop = mine_in_background(chain, BLOCK_S)
    yield connect(f"http://127.0.0.1:{server.server_port}")
    stop.set()
    server.shutdown()
    server.server_close()
