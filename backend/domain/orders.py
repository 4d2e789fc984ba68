"""Which orders are acceptable, before any look at their lane: signature, terms, parameters, input."""

from collections.abc import Callable, Mapping, Sequence

from backend.domain.errors import (
    DeadlineRefused,
    InputRefused,
    ParamsHashMismatch,
    ParamsRefused,
    PriceTooHigh,
    PriceTooLow,
    TermNotOffered,
    TooManyUnits,
)
from backend.domain.pricing import Offer
from backend.errors import WrongSigner
from contracts.protocol.canonical import hash_json
from contracts.protocol.constants import Constants
from contracts.protocol.errors import BadTexts
from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.records import COMPARATORS, U48, VISIBILITY_OPEN, Order, Terms
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import Domain

_COPIES = 1

CountTokens = Callable[[str], int]
"""How many tokens a text alone has, by the workload's tokenizer."""


def check_signature(order: Order, signer: str, signature: str, domain: Domain) -> str:
    """The order's id, once it is known that `signer` signed it. Raises WrongSigner or BadSignature."""
    digest = domain.order_id(order)
    recovered = recover(digest, signature)
    if recovered != signer:
        raise WrongSigner(what="order", named=signer, recovered=recovered)
    return to_hex(digest)


def check_terms(
    terms: Terms,
    params: Mapping[str, int],
    input_: bytes,
    offer: Offer,
    *,
    count_tokens: CountTokens,
    now_s: int,
    constants: Constants,
) -> None:
    """Raises the Unacceptable that names what is wrong with an order for this offer."""
    if not now_s < terms.deadline <= now_s + constants.order_ttl_s:
        raise DeadlineRefused(deadline=terms.deadline, now_s=now_s, ttl_s=constants.order_ttl_s)
    _check_offered(terms, offer.manifest)
    check_params(params, terms.params_hash, offer)
    texts = _read_texts(input_, offer.manifest)
    _check_prices(terms, texts, params, offer)
    _check_tokens(texts, offer.manifest, count_tokens)


def _check_offered(terms: Terms, manifest: Manifest) -> None:
    offered = {
        "comparator": COMPARATORS[manifest.comparator],
        "copies": _COPIES,
        "visibility": VISIBILITY_OPEN,
    }
    for name, value in offered.items():
        found: int = getattr(terms, name)
        if found != value:
            raise TermNotOffered(name=name, value=found, offered=value)


def check_params(params: Mapping[str, int], params_hash: str, offer: Offer) -> None:
    """The parameters are the signed ones, and each is the manifest's and within its range."""
    actual = to_hex(hash_json(dict(params)))
    if actual != params_hash:
        raise ParamsHashMismatch(signed=params_hash, actual=actual)
    allowed = offer.manifest.params
    for name in sorted(set(params) | set(allowed)):
        value = params.get(name)
        if name not in allowed:
            raise ParamsRefused(name=name, value=value, why="is not a parameter of the workload")
        low, high = allowed[name].minimum, allowed[name].maximum
        if value is None or not low <= value <= high:
            raise ParamsRefused(name=name, value=value, why=f"must be given, from {low} to {high}")


def _check_prices(terms: Terms, texts: Sequence[str], params: Mapping[str, int], offer: Offer) -> None:
    most = offer.manifest.most_units(texts, params)
    if most > offer.max_units:
        raise TooManyUnits(most=most, unit=offer.manifest.unit, limit=offer.max_units)
    least = {
        "fixed_price": offer.fixed_price,
        "unit_price": offer.unit_price,
        # at the order's own prices, so that a node is not asked for more work than the maximum pays
        "max_price": terms.fixed_price + most * terms.unit_price,
    }
    for name, value in least.items():
        found: int = getattr(terms, name)
        if found < value:
            raise PriceTooLow(name=name, value=found, least=value)
    if terms.max_price > U48:
        raise PriceTooHigh(max_price=terms.max_price, limit=U48)


def _read_texts(input_: bytes, manifest: Manifest) -> list[str]:
    try:
        return manifest.input.read(input_)
    except BadTexts as error:
        raise InputRefused(error.why) from error


def _check_tokens(texts: Sequence[str], manifest: Manifest, count_tokens: CountTokens) -> None:
    """No text is longer than engines take: nothing is ever cut off, and no node is bothered with it."""
    limits = manifest.input
    try:
        limits.require_tokens([limits.overhead_tokens + count_tokens(text) for text in texts])
    except BadTexts as error:
        raise InputRefused(error.why) from error
