"""How long the client waits for an order, by a clock that the test moves."""

import pytest

from backend.client import AssayClient
from backend.client.errors import WaitedTooLong
from contracts.protocol.hashing import keccak
from contracts.protocol.signing import Signer
from contracts.protocol.wire import OrderView


class Moments:
    """A clock that only `sleep` moves, and an order that is delivered when it shows so many seconds."""

    def __init__(self, delivered_at_s: float) -> None:
        self.now_s, self._delivered_at_s = 0.0, delivered_at_s

    def clock(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def order(self, order_id: str) -> OrderView:
        return OrderView.model_construct(state="delivered" if self.now_s >= self._delivered_at_s else "leased")


@pytest.mark.parametrize(("delivered_at_s", "waits_s"), [(0.0, 0.0), (3.2, 4.0), (99.0, None)])
def test_waits_until_delivered_and_no_longer(
    monkeypatch: pytest.MonkeyPatch, delivered_at_s: float, waits_s: float | None
) -> None:
    """Protects scripts: `wait` looks again every `poll_s`, returns at the first look that finds the answer, and gives
    up after `timeout_s` with the order's state."""
    moments = Moments(delivered_at_s)
    with AssayClient(
        "http://backend", Signer(keccak(b"requester")), clock=moments.clock, sleep=moments.sleep
    ) as client:
        monkeypatch.setattr(client, "order", moments.order)
        if waits_s is None:
            with pytest.raises(WaitedTooLong, match="leased"):
                client.wait("0x00", timeout_s=60.0, poll_s=2.0)
            assert 60.0 < moments.now_s <= 62.0
        else:
            assert client.wait("0x00", timeout_s=60.0, poll_s=2.0).state == "delivered"
            assert moments.now_s == waits_s
