"""A requester, a node and a coordinator on real contracts, over real HTTP."""

import threading
import time

import httpx
import pytest

from backend.client.errors import NotDelivered, NotTaken, Refused, Untrue
from contracts.onchain.errors import Reverted
from contracts.protocol.errors import BadTexts
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.packed import pack
from contracts.protocol.signing import Signer
from contracts.protocol.texts import decode_texts
from contracts.protocol.wire import LeaseGrant, OrderView
from tests.integration.backend.api.coordinator import FIXED, KEYS, TOKENIZER, UNIT, Coordinator
from tests.world.prompts import STOP
from tests.world.waiting import eventually

pytestmark = pytest.mark.chain


def granted(running: Coordinator) -> LeaseGrant:
    response = running.lease()
    assert response.status_code == 200, response.text
    return LeaseGrant.model_validate_json(response.content)


def test_from_deposit_to_answer(running: Coordinator) -> None:
    """Protects the whole way of one job: permit, order, lease, delivery, checked answer and price. Covers: A55"""
    wallet, client = running.wallet(), running.client()
    wallet.deposit(10_000)
    assert wallet.lane().balance == 10_000
    running.register_node(stake_units=100_000)
    view = client.submit("Why is the sky blue?", max_new_tokens=16)
    assert (view.state, view.order.spend_cap) == ("queued", FIXED + 16 * UNIT)
    with pytest.raises(NotDelivered):
        client.output(view)
    assert running.deliver(granted(running)).json()["new"] is True
    assert running.lease().status_code == 204
    view = client.wait(view.order_id, timeout_s=120)
    assert view.state == "delivered"
    assert client.output(view).text == "Scattering."
    assert client.verify_price(view) == FIXED + 2 * UNIT
    assert [order.order_id for order in client.orders()] == [view.order_id]
    node = running.chain.stakes.functions.operatorOf
    assert node(running.sender("node").address).call() == 1


def test_a_batch_of_prompts_is_one_order(running: Coordinator) -> None:
    """Protects whoever orders many at once: one order, one commitment, units of all texts, an answer a prompt."""
    running.wallet().deposit(10_000)
    running.register_node(stake_units=100_000)
    client, prompts = running.client(), ["Why?", "What is 2 + 2?", "Où est la gare ?"]
    view = client.submit(prompts, max_new_tokens=5)
    assert view.order.terms.max_price == FIXED + 3 * 5 * UNIT
    grant = granted(running)
    assert decode_texts(httpx.get(f"{running.url}/v1/blobs/{grant.order.terms.texts_hash}").content) == prompts
    answers = ["Ah.", "4", "Là."]
    ids = [[*TOKENIZER.encode(text), STOP] for text in answers]
    for bent, units, code in (
        (ids, 16, "units_refused"),
        (ids, 10, "units_refused"),
        ([*ids[:2], ids[2] * 2], 16, "units_refused"),
        (ids[:2], 6, "output_refused"),
        ([*ids, []], 11, "output_refused"),
    ):
        assert running.deliver(grant, pack(bent), units).json()["code"] == code
    assert running.deliver(grant, pack(ids), units=11).json()["new"] is True
    view = client.wait(view.order_id, timeout_s=120)
    answer = client.output(view)
    assert answer.texts == answers
    assert [item["token_ids"] for item in answer.items] == ids
    assert answer.cut == []
    assert client.verify_price(view) == FIXED + 11 * UNIT
    assert running.lease().status_code == 204


def test_over_long_input_never_reaches_a_node(running: Coordinator) -> None:
    """Protects nodes and requesters: the exact count of tokens is told before anything is ordered. Covers: A58"""
    running.wallet().deposit(10_000)
    client = running.client()
    with pytest.raises(NotTaken, match="201 tokens in text 1"):
        client.submit(["short", "x" * 201], max_new_tokens=1)
    with pytest.raises(NotTaken, match=r"80 completion tokens.* up to 64 .* order the 2 texts separately"):
        client.submit(["one", "two"], max_new_tokens=40)
    for texts, why in ((["x"] * 5, "5 texts.* at most 4"), (["x" * 1001], "1001 bytes .* at most 1000")):
        with pytest.raises(NotTaken, match=why):
            client.submit(texts)
    for texts, why in (([""], "no visible"), ([], "no text")):
        with pytest.raises(BadTexts, match=why):
            client.submit(texts)
    assert client.orders() == []
    assert client.submit("x" * 200, max_new_tokens=1).state == "queued"


def test_many_orders_at_once_agree_on_caps(running: Coordinator) -> None:
    """Protects requesters with several tabs: caps race, every order is taken once, none above the balance.

    Covers: A19, A25
    """
    running.wallet().deposit(4 * (FIXED + UNIT))
    outcomes: list[OrderView | str] = []

    def submit(number: int) -> None:
        try:
            outcomes.append(running.client().submit(f"question {number}", max_new_tokens=1))
        except Refused as refused:
            outcomes.append(refused.code)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = [outcome for outcome in outcomes if isinstance(outcome, OrderView)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert (len(accepted), set(refused)) == (4, {"balance_too_low"})
    assert running.client().lane().open_max == 4 * (FIXED + UNIT)


def test_notice_bars_orders(running: Coordinator) -> None:
    """Protects nodes: from notice on the lane takes no orders, and money leaves only after the wait. Covers: A30"""
    wallet, client = running.wallet(), running.client()
    wallet.deposit(10_000)
    state = wallet.give_notice()
    assert state.notice_at > 0
    assert client.lane().under_notice
    with pytest.raises(Refused) as caught:
        client.submit("too late", max_new_tokens=1)
    assert caught.value.code == "lane_under_notice"
    with pytest.raises(Reverted, match="NoticeNotMature"):
        wallet.withdraw(10_000)
    constants = running.chain.deployment.constants
    running.chain.w3.request("evm_increaseTime", constants.notice_s + 1)
    running.chain.w3.request("evm_mine")
    before = running.chain.balance_wei(wallet.address)
    wallet.withdraw(10_000)
    assert running.chain.balance_wei(wallet.address) - before == 10_000 * constants.unit_wei
    assert wallet.lane().balance == 0


def test_session_key_spends_its_lane_only(running: Coordinator) -> None:
    """Protects a wallet that lends a key to a program: what the key can spend is what its lane holds. Covers: A27"""
    wallet, session = running.wallet(), Signer(keccak(b"session"))
    wallet.deposit(10_000)
    client = running.client(session, requester=wallet.address)
    with pytest.raises(Refused) as caught:
        client.submit("not opened", max_new_tokens=1)
    assert caught.value.code == "lane_not_opened"
    wallet.open_lane(session.address, int(time.time()) + 3600)
    with pytest.raises(Refused) as caught:
        client.submit("no money", max_new_tokens=1)
    assert caught.value.code == "balance_too_low"
    wallet.deposit(1_000, session.address)
    assert client.submit("funded", max_new_tokens=1).signer == session.address
    assert [lane.balance for lane in wallet.lanes().values()] == [10_000, 1_000]
    assert running.client().lane().open_max == 0


def test_stakeless_node_takes_one_job(running: Coordinator) -> None:
    """Protects the network from work that nothing is at stake for. Covers: A05"""
    running.wallet().deposit(10_000)
    assert running.lease().json()["code"] == "unknown_node"
    running.register_node(stake_units=0)
    eventually(lambda: running.lease().status_code == 204)  # the coordinator keeps what it read of a key for a second
    for number in range(2):
        running.client().submit(f"question {number}", max_new_tokens=2)
    assert running.deliver(granted(running)).status_code == 200
    refused = running.lease()
    assert (refused.status_code, refused.json()["code"]) == (409, "stake_too_low")


def test_client_trusts_nothing(running: Coordinator) -> None:
    """Protects requesters from a backend that lies: every field that is checked is bent once. Covers: A46"""
    running.wallet().deposit(10_000)
    running.register_node(stake_units=100_000)
    client = running.client()
    order_id = client.submit("Why?", max_new_tokens=4).order_id
    assert running.deliver(granted(running)).status_code == 200
    view = client.order(order_id)
    assert view.commitment is not None
    other = to_hex(keccak(b"other"))
    for changes in (
        {"amount_units": 121},
        {"commitment": view.commitment.model_copy(update={"units": 4})},
        {"commitment": view.commitment.model_copy(update={"output_root": other})},
        {"commitment": view.commitment.model_copy(update={"order_id": other})},
        {"commitment_signature": KEYS["alice"].sign(keccak(b"x"))},
    ):
        with pytest.raises(Untrue):
            client.output(view.model_copy(update=changes))
