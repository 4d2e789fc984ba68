"""Which orders are acceptable, one rule a row.

given an order for an offered workload
├── when all is as offered: it is accepted
├── when another key signed it: wrong_signer
├── when its deadline is not in (now, now + ORDER_TTL]: deadline_refused
├── when a term is not offered: term_not_offered
├── when a price is below the sheet, or the maximum does not pay what is asked for: price_too_low
├── when the maximum does not fit a row: price_too_high
├── when parameters are not the manifest's: params_refused
├── when its ids are not those of its texts: prompt_mismatch
├── when the texts may take more units than are offered: too_many_units
└── when the input is no list of texts, too long, or empty: input_refused
"""

from functools import partial
from typing import Any

import pytest

from backend.domain.orders import Offer, check_signature, check_terms
from backend.errors import BackendError, WrongSigner
from contracts.protocol import prompts
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.errors import BadSignature, BadTexts
from contracts.protocol.hashing import from_hex, to_hex
from contracts.protocol.manifest import Template
from contracts.protocol.packed import pack, packed_root
from contracts.protocol.records import Order, Params
from contracts.protocol.texts import decode_texts, encode_texts
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
    TEXTS,
    UNIT,
    WORKLOAD,
    terms,
)
from tests.world.prompts import BYTES

OFFER = Offer(WORKLOAD, MANIFEST, FIXED, UNIT, MAX_UNITS)
TTL = DEVELOPMENT.order_ttl_s


def check(params: Params = PARAMS, texts: bytes = TEXTS, offer: Offer = OFFER, **changes: Any) -> bytes:
    """The packed prompts of an order whose ids are those of its texts, unless `changes` say otherwise."""
    pack_prompts = partial(prompts.pack_prompts, offer.manifest, BYTES)
    try:
        root = to_hex(packed_root(pack_prompts(decode_texts(texts))))
    except BadTexts:
        root = "0x" + "00" * 32
    wanted = terms(**{"params": params, "prompt_root": root} | changes)
    return check_terms(wanted, texts, offer, pack_prompts=pack_prompts, now_s=NOW, constants=DEVELOPMENT)


@pytest.mark.parametrize(
    "changes", [{}, {"deadline": NOW + 1}, {"deadline": NOW + TTL}, {"unit_price": UNIT, "max_price": 2**48 - 1}]
)
def test_acceptable_terms(changes: dict[str, Any]) -> None:
    """Protects requesters from refusals at the edges of what is offered."""
    assert check(**changes) == PROMPT


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
        ("prompt_mismatch", {"prompt_root": to_hex(packed_root(pack([[1, 2, 3]])))}),
    ],
)
def test_refused_terms(code: str, changes: dict[str, Any]) -> None:
    """Protects nodes from orders that pay less than was asked or that cannot be settled, each by its own code.

    Covers: A19, A58
    """
    with pytest.raises(BackendError) as caught:
        check(**changes)
    assert caught.value.code == code
    assert str(next(iter(changes.values()))) in str(caught.value), "the message names the offending value"


@pytest.mark.parametrize(
    "params",
    [Params(), Params(max_new_tokens=257), Params(max_new_tokens=8, seed=1), Params(max_new_tokens=8, top_p_ppm=5)],
)
def test_refused_params(params: Params) -> None:
    """Protects nodes from parameters that no engine takes. Covers: A58"""
    with pytest.raises(BackendError) as caught:
        check(params)
    assert caught.value.code == "params_refused"


@pytest.mark.parametrize(
    ("input_", "why"),
    [
        (b"", "not a JSON array"),
        (b"Why?", "not a JSON array"),
        (b'"Why?"', "not a JSON array"),
        (b'["Why?", "not?"]', "not canonical"),
        (b"[]", "no text"),
        (encode_texts(["a"])[:-1] + b',"\\t"]', "no visible character in text 1"),
        (b'["\xff\xfe"]', "not UTF-8"),
        (encode_texts(["x" * 1001]), "1001 bytes in text 0, more than 1000"),
        (encode_texts(["x"] * 5), "5 texts, more than 4"),
        (encode_texts(["x", "y" * 201]), "201 tokens in text 1"),
    ],
)
def test_refused_input(input_: bytes, why: str) -> None:
    """Protects nodes from poison: nobody works on what no engine can read, and nothing is cut off. Covers: A58"""
    changes = {"max_price": FIXED + 64 * UNIT}
    with pytest.raises(BackendError, match=why) as caught:
        check(texts=input_, **changes)
    assert caught.value.code == "input_refused"


def test_a_batch_pays_for_each_of_its_texts() -> None:
    """Protects nodes: the maximum must cover the units of all texts together, and the sheet's limit is for all."""
    batch = encode_texts(["one", "two", "three"])
    check(texts=batch, max_price=FIXED + 24 * UNIT)
    with pytest.raises(BackendError, match=str(FIXED + 24 * UNIT)) as caught:
        check(texts=batch, max_price=FIXED + 24 * UNIT - 1)
    assert caught.value.code == "price_too_low"
    with pytest.raises(BackendError, match=f"90 units .* up to {MAX_UNITS} per job") as caught:
        check(Params(max_new_tokens=30), batch, max_price=10_000)
    assert caught.value.code == "too_many_units"


def test_what_the_workload_puts_around_a_text_counts() -> None:
    """Protects requesters: the exact count, the template included, is refused before any node is bothered."""
    around = Template(before=(0,) * 20, after=(1,) * 10)
    offer = Offer(WORKLOAD, MANIFEST.model_copy(update={"template": around}), FIXED, UNIT, MAX_UNITS)
    check(texts=encode_texts(["x" * 170]), offer=offer)
    with pytest.raises(BackendError, match="201 tokens in text 0, those around it included, not 1 to 200"):
        check(texts=encode_texts(["x" * 171]), offer=offer)


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
