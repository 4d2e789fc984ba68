"""Which orders are acceptable, one rule a row.

given an order for an offered workload
├── when all is as offered: it is accepted
├── when another key signed it: wrong_signer
├── when its deadline is not in (now, now + ORDER_TTL]: deadline_refused
├── when a term is not offered: term_not_offered
├── when a price is below the sheet, or the maximum does not pay what is asked for: price_too_low
├── when the maximum does not fit a row: price_too_high
├── when parameters are not the signed ones, or not the manifest's: params_hash_mismatch, params_refused
└── when the input is too long, not text, or empty: input_refused
"""

from typing import Any

import pytest

from backend.domain.orders import check_signature, check_terms
from backend.domain.pricing import Offer
from backend.errors import BackendError, WrongSigner
from contracts.protocol.canonical import hash_json
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.errors import BadSignature
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.records import Order
from contracts.protocol.typed_data import Domain
from tests.unit.backend.world import (
    DOMAIN,
    FIXED,
    MANIFEST,
    MAX_UNITS,
    NODE,
    NOW,
    PARAMS,
    PROMPT,
    REQUESTER,
    UNIT,
    WORKLOAD,
    terms,
)

OFFER = Offer(WORKLOAD, MANIFEST, FIXED, UNIT, MAX_UNITS)
TTL = DEVELOPMENT.order_ttl_s


def check(params: dict[str, int] = PARAMS, input_: bytes = PROMPT, **changes: Any) -> None:
    changes = {"params_hash": to_hex(hash_json(params))} | changes
    check_terms(terms(**changes), params, input_, OFFER, now_s=NOW, constants=DEVELOPMENT)


@pytest.mark.parametrize(
    "changes", [{}, {"deadline": NOW + 1}, {"deadline": NOW + TTL}, {"unit_price": UNIT, "max_price": 2**48 - 1}]
)
def test_acceptable_terms(changes: dict[str, Any]) -> None:
    """Protects requesters from refusals at the edges of what is offered."""
    check(**changes)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("deadline_refused", {"deadline": NOW}),
        ("deadline_refused", {"deadline": NOW + TTL + 1}),
        ("term_not_offered", {"comparator": 2}),
        ("term_not_offered", {"copies": 2}),
        ("term_not_offered", {"visibility": 1}),
        ("price_too_low", {"fixed_price": FIXED - 1}),
        ("price_too_low", {"unit_price": UNIT - 1}),
        ("price_too_low", {"max_price": FIXED + 8 * UNIT - 1}),
        ("price_too_high", {"max_price": 2**48}),
        ("params_hash_mismatch", {"params_hash": "0x" + "00" * 32}),
    ],
)
def test_refused_terms(code: str, changes: dict[str, Any]) -> None:
    """Protects nodes from orders that pay less than was asked or that cannot be settled, each by its own code.

    Covers: A19, A58
    """
    with pytest.raises(BackendError) as caught:
        check(**changes)
    assert caught.value.code == code
    if code != "params_hash_mismatch":
        assert str(next(iter(changes.values()))) in str(caught.value), "the message names the offending value"


@pytest.mark.parametrize(
    "params", [{}, {"max_new_tokens": 0}, {"max_new_tokens": MAX_UNITS + 1}, {"max_new_tokens": 8, "top_k": 1}]
)
def test_refused_params(params: dict[str, int]) -> None:
    """Protects nodes from parameters that no engine takes. Covers: A58"""
    with pytest.raises(BackendError) as caught:
        check(params)
    assert caught.value.code == "params_refused"


@pytest.mark.parametrize("input_", [b"", b" \n\t", b"\xff\xfe", b"x" * 1001])
def test_refused_input(input_: bytes) -> None:
    """Protects nodes from poison: nobody works on what no engine can read. Covers: A58"""
    with pytest.raises(BackendError) as caught:
        check(input_=input_)
    assert caught.value.code == "input_refused"


def test_signature_binds_signer_chain_and_contract() -> None:
    """Protects a lane from orders its signer never signed here. Covers: A17, A18, A20"""
    order = Order(requester=REQUESTER.address, spend_cap=180, terms=terms())
    signature = REQUESTER.sign(DOMAIN.order_id(order))
    assert check_signature(order, REQUESTER.address, signature, DOMAIN) == to_hex(DOMAIN.order_id(order))
    dearer = order.model_copy(update={"spend_cap": 181})
    elsewhere = Domain(DOMAIN.chain_id + 1, DOMAIN.verifying_contract)
    for signer, changed, domain in (
        (NODE.address, order, DOMAIN),
        (REQUESTER.address, dearer, DOMAIN),
        (REQUESTER.address, order, elsewhere),
        (REQUESTER.address, order, Domain(DOMAIN.chain_id, "0x" + "e6" * 20)),
    ):
        with pytest.raises(WrongSigner, match=signer):
            check_signature(changed, signer, signature, domain)
    raw = from_hex(signature)
    order_n = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    flipped = raw[:32] + (order_n - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big") + bytes([55 - raw[64]])
    with pytest.raises(BadSignature):
        check_signature(order, REQUESTER.address, to_hex(flipped), DOMAIN)
