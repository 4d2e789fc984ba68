"""The same epoch on the embedded chain, whose blocks come by the clock and whose estimates are slow."""

import threading
import time
from dataclasses import replace
from pathlib import Path

from contracts.onchain.chain import connect
from contracts.onchain.sender import Sender
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.hashing import from_hex
from contracts.protocol.signing import Signer
from deploy.localnet.chain.embedded import EmbeddedChain
from deploy.localnet.chain.rpc_server import mine_in_background, serve
from tests.integration.backend.worker.bench import PLAN, Bench
from tests.world.founding import Furnishing, deploy_contracts
from tests.world.waiting import eventually

RICH = Signer(from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
"""The first account of the development mnemonic, known to everybody."""
SHORT = replace(PLAN, constants=DEVELOPMENT.model_copy(update={"check_wait_s": 3}))


def test_an_epoch_settles_on_the_embedded_chain(tmp_path: Path) -> None:
    """Fees, nonces, refusals and logs of py-evm are what the worker understands: one settlement, books to the wei."""
    chain = EmbeddedChain()
    server = serve(chain, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop = mine_in_background(chain, 0.2)
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        w3 = connect(url)
        Sender(w3, RICH).pay(SHORT.addresses(), 10**18)
        deployment = deploy_contracts(w3, SHORT)
        Furnishing(w3, deployment, SHORT, time.sleep).furnish()
        bench = Bench(url, deployment, tmp_path / "home")
        for who in ("alice", "bob", "alice"):
            bench.deliver(who)
        worker = bench.worker()

        def settled() -> bool:
            worker.tick(bench.now)
            bench.now += 1
            return bench.settlement(1) is not None

        eventually(settled, poll_s=0.1)
        assert bench.assert_books_are_right()[f"operator:{bench.operator_id}"] == 405
        assert {row.error for row in bench.receipts()} == {None}
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
