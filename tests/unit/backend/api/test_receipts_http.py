"""GET /v1/orders/{id}/receipt: problems before the root, one strict record after it."""

import pytest
from fastapi.testclient import TestClient

from backend.api.http import create_http
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.wire import Problem
from tests.unit.backend.world import REQUESTER, World


@pytest.fixture
def http(world: World) -> TestClient:
    return TestClient(create_http(world.services), raise_server_exceptions=False)


def test_receipt_over_http(world: World, http: TestClient) -> None:
    """Unknown: 404. Not rooted: 409 with the state and the way out. Rooted: the record."""

    def problem(order_id: str) -> Problem:
        answer = http.get(f"/v1/orders/{order_id}/receipt")
        assert answer.headers["content-type"] == "application/problem+json"
        found = Problem.model_validate_json(answer.content)
        assert found.status == answer.status_code
        return found

    assert (problem("0x" + "ab" * 32).status, problem("0x" + "ab" * 32).code) == (404, "unknown_order")
    assert problem("0xzz").status == 422
    world.deliver()
    order_id = world.services.views.orders_of(REQUESTER.address)[0].order_id
    early = problem(order_id)
    assert (early.status, early.code) == (409, "not_rooted")
    assert "delivered" in early.detail
    assert "ask again" in early.detail
    world.close_epoch()
    world.event("EpochPosted", id=1)
    answer = http.get(f"/v1/orders/{order_id}/receipt")
    assert answer.status_code == 200
    assert PaymentReceipt.model_validate_json(answer.content) == world.services.views.receipt(order_id)
