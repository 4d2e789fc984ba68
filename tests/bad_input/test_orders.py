"""Orders that are not acceptable. Each: a clear problem that names value and way out; nothing changed, nothing lost."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from contracts.protocol.hashing import from_hex, keccak, to_hex
from contracts.protocol.packed import unpack
from contracts.protocol.records import Order, Params
from contracts.protocol.signing import Signer
from contracts.protocol.typed_data import Domain
from contracts.protocol.wire import OrderView
from tests.bad_input.place import ALWAYS, MAX_PRICE, PROMPTS, STRANGER, TEXTS, UNIT, Place, address, table_rows
from tests.integration.backend.worker.bench import KEYS
from tests.world.prompts import prompts_of, root_of

pytestmark = pytest.mark.chain
_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SIGN = "sign the EIP-712 digest"


def refuses(place: Place, body: Any, status: int, code: str, *named: object, way_out: str) -> None:
    """The order is refused, and nothing changes."""
    place.put()
    place.refuses("POST", "/v1/orders", status, code, *named, way_out=way_out, json=body)


def test_unsigned(place: Place) -> None:
    """Protects the requester's money: no signature, no order."""
    body = place.order()
    refuses(place, body | {"signature": "0x" + "00" * 65}, 401, "bad_signature", "v = 0", way_out=SIGN)
    del body["signature"]
    refuses(place, body, 422, "invalid_field", "body.signature", "required", way_out="/openapi.json")


def test_wrongly_signed(place: Place) -> None:
    """Protects the requester's money: the signature is the signer's, here, over these terms. Covers: A17, A18"""
    alice = KEYS["alice"].address
    forged = place.order(signer=STRANGER) | {"signer": alice}
    refuses(place, forged, 401, "wrong_signer", alice, STRANGER.address, way_out=SIGN)
    raised = place.order()
    raised["order"]["terms"]["max_price"] += 1
    refuses(place, raised, 401, "wrong_signer", alice, way_out=SIGN)
    order = Order(requester=alice, spend_cap=10**6, terms=place.terms())
    for domain in (Domain(1, place.domain.verifying_contract), Domain(31337, "0x" + "12" * 20)):
        foreign = place.signed(order, KEYS["alice"]) | {"signature": KEYS["alice"].sign(domain.order_id(order))}
        refuses(place, foreign, 401, "wrong_signer", alice, way_out=SIGN)


def test_malleable_signatures(place: Place) -> None:
    """Protects ids: of one signature there is one spelling. Covers: A20, A21"""
    body = place.order()
    raw = from_hex(body["signature"])
    s, v = int.from_bytes(raw[32:64], "big"), raw[64]
    flipped = raw[:32] + (_N - s).to_bytes(32, "big") + bytes([55 - v])
    refuses(place, body | {"signature": to_hex(flipped)}, 401, "bad_signature", "high s", way_out=SIGN)
    for wrong in (0, 1, 26, 29, 255):
        changed = to_hex(raw[:64] + bytes([wrong]))
        refuses(place, body | {"signature": changed}, 401, "bad_signature", f"v = {wrong}", way_out=SIGN)


@pytest.mark.parametrize("ahead_s", [-1000, 0, 100_000])
def test_expired_and_too_far_ahead(place: Place, ahead_s: int) -> None:
    """Protects lanes from orders that are over, or that would outlast a notice."""
    deadline = int(time.time()) + ahead_s
    refuses(
        place, place.order(deadline=deadline), 422, "deadline_refused", f"terms.deadline = {deadline}",
        way_out="sign a new order",
    )  # fmt: skip


def test_replayed(place: Place) -> None:
    """Protects the requester from paying twice: the same order again is the same order. Covers: A19, A45"""
    place.put()
    body = place.order()
    first = place.http.post(place.url + "/v1/orders", json=body)
    rows = table_rows(place.bench.home)
    again = place.http.post(place.url + "/v1/orders", json=body)
    assert (first.status_code, again.status_code) == (201, 200)
    assert OrderView.model_validate_json(again.content) == OrderView.model_validate_json(first.content)
    assert table_rows(place.bench.home) == rows


def test_sent_by_somebody_else(place: Place) -> None:
    """Protects the requester: whoever sends its order first, it is the requester's. Covers: A39"""
    place.put()
    body, alice = place.order(), KEYS["alice"].address
    stolen = body | {"order": body["order"] | {"requester": STRANGER.address}, "signer": STRANGER.address}
    refuses(place, stolen, 401, "wrong_signer", STRANGER.address, way_out=SIGN)
    ahead = place.post("/v1/orders", body).json()
    mine = place.post("/v1/orders", body)
    assert mine.status_code == 200
    assert mine.json()["order_id"] == ahead["order_id"]
    assert mine.json()["order"]["requester"] == alice


def test_a_hundred_retries_are_one_order(place: Place) -> None:
    """Protects the requester's money when its connection is bad: one order, one reservation. Bob's lane:
    in alice's, orders of other tests expire meanwhile. Covers: A45, A59"""
    place.put()
    body, lane = place.order("bob"), f"{place.url}/v1/lanes/{KEYS['bob'].address}/{KEYS['bob'].address}"
    before = place.http.get(lane).json()["open_max"]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: place.http.post(place.url + "/v1/orders", json=body), range(100)))
    assert sorted(answer.status_code for answer in answers) == [200] * 99 + [201]
    ids = {answer.json()["order_id"] for answer in answers}
    assert len(ids) == 1
    assert place.http.get(lane).json()["open_max"] == before + MAX_PRICE
    rows = table_rows(place.bench.home)["order"]
    assert len([row for row in rows if row[0] in ids]) == 1


def test_over_cap(place: Place) -> None:
    """Protects settlement: a cap that does not cover what is open could not be charged."""
    lane = place.http.get(f"{place.url}/v1/lanes/{KEYS['alice'].address}/{KEYS['alice'].address}").json()
    needed = lane["charged"] + lane["open_max"] + MAX_PRICE
    refuses(place, place.order(cap=needed - 1), 409, "cap_too_low", needed - 1, needed, way_out="read GET /v1/lanes")


def test_over_balance(place: Place) -> None:
    """Protects nodes: what a lane cannot pay is not accepted."""
    dear = 10**6 + 1
    refuses(
        place, place.order(cap=2**63, max_price=dear), 409, "balance_too_low", "1000000 units", dear, way_out="deposit"
    )
    poor = Signer(keccak(b"no lane at all"))
    order = Order(requester=poor.address, spend_cap=10**6, terms=place.terms())
    refuses(place, place.signed(order, poor), 409, "balance_too_low", "balance of 0", MAX_PRICE, way_out="deposit 180")


def test_under_notice(place: Place) -> None:
    """Protects nodes: a lane that is about to be emptied takes no orders. Covers: A30"""
    escrow, body = place.bench.chain.escrow.functions, place.order("bob")
    place.bench.call("bob", escrow.giveNotice(address(KEYS["bob"])))
    refuses(place, body, 409, "lane_under_notice", "under notice of withdrawal", way_out="cancelNotice")
    place.bench.call("bob", escrow.cancelNotice(address(KEYS["bob"])))
    assert place.post("/v1/orders", body).status_code == 201


def test_lanes_of_other_signers(place: Place) -> None:
    """Protects requesters: a session key is one that the requester opened a lane for, while that lane lasts."""
    refuses(
        place, place.order(signer=STRANGER), 409, "lane_not_opened", STRANGER.address, KEYS["alice"].address,
        way_out="JobEscrow.openLane",
    )  # fmt: skip
    expiry = place.bench.chain.head().timestamp + 60
    place.bench.call("alice", place.bench.chain.escrow.functions.openLane(address(STRANGER), expiry, 0))
    refuses(place, place.order(signer=STRANGER), 409, "lane_expires_first", expiry, way_out="earlier deadline")


def test_unknown_workload(place: Place) -> None:
    """Protects the requester from ordering what nobody serves."""
    unknown = "0x" + "ab" * 32
    refuses(place, place.order(workload_id=unknown), 404, "unknown_workload", unknown, way_out="GET /v1/network")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"fixed_price": 99}, "terms.fixed_price = 99 is below the 100"),
        ({"unit_price": 9}, "terms.unit_price = 9 is below the 10"),
        ({"max_price": MAX_PRICE - 1}, "terms.max_price = 179 is below the 180"),
        ({"fixed_price": 0, "unit_price": 0, "max_price": 0}, "terms.fixed_price = 0"),
    ],
)
def test_price_below_the_sheet(place: Place, changes: dict[str, int], named: str) -> None:
    """Protects nodes: nobody works for less than is asked."""
    refuses(place, place.order(**changes), 422, "price_too_low", named, way_out="GET /v1/network has the prices")


def test_price_that_no_row_carries(place: Place) -> None:
    """Protects settlement: a row's amount has six bytes."""
    refuses(place, place.order(cap=2**64 - 1, max_price=2**48), 422, "price_too_high", 2**48, way_out="most that")


@pytest.mark.parametrize(
    ("changes", "named", "way_out"),
    [
        ({"comparator": 2}, "terms.comparator = 2", "only 1 is"),
        ({"copies": 3}, "terms.copies = 3", "only 1 is"),
        ({"visibility": 1}, "terms.visibility = 1", "only 0 is"),
    ],
)
def test_terms_that_are_not_offered(place: Place, changes: dict[str, int], named: str, way_out: str) -> None:
    """Protects the requester from paying for terms that would not be kept."""
    refuses(place, place.order(**changes), 422, "term_not_offered", named, way_out=way_out)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({}, "params.max_new_tokens = 0 must be from 1 to 16"),
        ({"max_new_tokens": 17}, "params.max_new_tokens = 17 must be from 1 to 16"),
        ({"max_new_tokens": 2**32 - 1}, "params.max_new_tokens = 4294967295"),
        ({"max_new_tokens": 8, "temperature_milli": 1}, "params.temperature_milli = 1 must be 0"),
        ({"max_new_tokens": 8, "top_p_ppm": 10**6}, "params.top_p_ppm = 1000000 must be 0"),
        ({"max_new_tokens": 8, "seed": 2**64 - 1}, "params.seed = 18446744073709551615 must be 0"),
    ],
)
def test_params_that_the_workload_does_not_take(place: Place, params: dict[str, int], named: str) -> None:
    """Protects nodes from what their engine does not do. Covers: A58"""
    body = place.order(params=Params(**params))
    refuses(place, body, 422, "params_refused", named, way_out="manifest lists its parameters")


@pytest.mark.parametrize(
    ("name", "value"), [("max_new_tokens", -1), ("max_new_tokens", 2**32), ("seed", 2**64), ("colour", 1), ("", 1)]
)
def test_params_that_no_order_says(place: Place, name: str, value: int) -> None:
    """Protects signers: an order has four parameters, each within the bits that are signed."""
    body = place.order()
    body["order"]["terms"]["params"][name] = value
    refuses(place, body, 422, "invalid_field", f"body.order.terms.params.{name}", way_out="/openapi.json")


def test_params_that_were_not_signed(place: Place) -> None:
    """Protects the requester: what runs is what it signed."""
    body = place.order()
    body["order"]["terms"]["params"]["max_new_tokens"] = 7
    refuses(place, body, 401, "wrong_signer", KEYS["alice"].address, way_out=SIGN)


def test_ids_that_do_not_spell_the_texts(place: Place) -> None:
    """Protects both sides: nodes run ids, people read texts, and the order that binds both has one meaning."""
    other = root_of(prompts_of(ALWAYS, ["What is the sea?"]))
    body = place.order(prompt_root=other)
    refuses(place, body, 422, "prompt_mismatch", other, root_of(PROMPTS), way_out="or ask POST /v1/tokenize")
    asked = {"workload_id": ALWAYS.workload_id(), "texts": TEXTS}
    told = place.http.post(place.url + "/v1/tokenize", json=asked).json()
    assert told == {"prompts": unpack(PROMPTS), "prompt_root": root_of(PROMPTS)}


def test_a_lane_holds_so_many_open_orders(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects everybody's waiting time: open orders of one lane are bounded. Covers: A52"""
    place.accepted()
    monkeypatch.setattr("backend.domain.lanes.MAX_OPEN_ORDERS", 1)
    refuses(place, place.order(), 409, "lane_full", "open orders", way_out="wait until some settle")


def test_the_corrected_order_is_taken(place: Place) -> None:
    """Protects the requester: after a refusal the same order, corrected, goes through and is priced as signed."""
    place.put()
    wrong = place.order(unit_price=UNIT - 1)
    place.refuses("POST", "/v1/orders", 422, "price_too_low", way_out="GET /v1/network", json=wrong)
    right = Order.model_validate(wrong["order"])
    terms = right.terms.model_copy(update={"unit_price": UNIT})
    body = place.signed(right.model_copy(update={"terms": terms}), KEYS["alice"])
    assert place.post("/v1/orders", body).json()["state"] == "queued"
