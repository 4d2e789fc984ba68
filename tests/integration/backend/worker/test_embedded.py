"""The same epoch on the embedded chain, whose blocks come by the clock and whose estimates are slow."""

import threading
import time
from pathlib import Path

from eth_account import Account

from backend.chain.embedded import EmbeddedChain
from backend.chain.rpc_server import mine_in_background, serve
from contracts.protocol.constants import DEVELOPMENT
from tests.integration.backend.worker.bench import Bench

_FUNDED = Account.from_key("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
"""The first account of the development mnemonic, known to everybody."""
SHORT = DEVELOPMENT.model_copy(update={"check_wait_s": 3})


class EmbeddedBench(Bench):
    """A bench whose chain gives ether only from its funded account."""

    def give_ether(self, who: str) -> None:
        fields = {
            "type": 2, "chainId": 31337, "nonce": self.w3.eth.get_transaction_count(_FUNDED.address, "pending"),
            "to": self.address(who), "value": 10**18, "data": "0x", "gas": 21_000, "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9,
        }  # fmt: skip
        sent = self.w3.eth.send_raw_transaction(_FUNDED.sign_transaction(fields).raw_transaction)
        self.w3.eth.wait_for_transaction_receipt(sent, timeout=20)


def test_an_epoch_settles_on_the_embedded_chain(tmp_path: Path) -> None:
    """Fees, nonces, refusals and logs of py-evm are what the worker understands: one settlement, books to the wei."""
    chain = EmbeddedChain()
    server = serve(chain, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop = mine_in_background(chain, 0.2)
    try:
        bench = EmbeddedBench(f"http://127.0.0.1:{server.server_port}", tmp_path / "home", SHORT)
        for who in ("alice", "bob", "alice"):
            bench.deliver(who)
        worker, until = bench.worker(), time.monotonic() + 60
        while bench.settlement(1) is None:
            assert time.monotonic() < until
            worker.tick(bench.now)
            bench.now += 1
            time.sleep(0.1)
        assert bench.assert_books_are_right()[f"operator:{bench.operator_id}"] == 405
        assert {row.error for row in bench.receipts()} == {None}
    finally:
        stop.set()
        server.shutdown()
        server.server_close()
