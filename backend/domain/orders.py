"""Which orders are acceptable, apart from their lane: signature, terms, parameters, input."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backend.domain import errors
from backend.errors import WrongSigner
from contracts.protocol.constants import Constants
from contracts.protocol.errors import BadTexts
from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import counts, packed_root
from contracts.protocol.records import COMPARATORS, U48, VISIBILITY_OPEN, Order, Params, Terms
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import Domain

_COPIES = 1

PackPrompts = Callable[[Sequence[str]], bytes]
"""The packed prompts of texts, by the workload's tokenizer. Raises BadTexts."""


@dataclass(frozen=True)
class Offer:
    """A workload as offered now. Prices in units of the token; a job has at most `max_units` metered units."""

    workload_id: str
    manifest: Manifest
    fixed_price: int
    unit_price: int
    max_units: int


def check_signature(order: Order, signer: str, signature: str, domain: Domain) -> str:
    """The order's id. Raises WrongSigner or BadSignature unless `signer` signed it."""
    digest = domain.order_id(order)
    recovered = recover(digest, signature)
    if recovered != signer:
        raise WrongSigner(what="order", named=signer, recovered=recovered)
    return to_hex(digest)


def check_terms(
    terms: Terms, texts: bytes, offer: Offer, *, pack_prompts: PackPrompts, now_s: int, constants: Constants
) -> bytes:
    """The packed prompts of an acceptable order. Raises an Unacceptable. `texts`: what `terms.texts_hash` names."""
    if not now_s < terms.deadline <= now_s + constants.order_ttl_s:
        raise errors.DeadlineRefused(deadline=terms.deadline, now_s=now_s, ttl_s=constants.order_ttl_s)
    _check_offered(terms, offer.manifest)
    check_params(terms.params, offer.manifest)
    try:
        prompts = pack_prompts(offer.manifest.input.read(texts))
    except BadTexts as error:
        raise errors.InputRefused(error.why) from error
    _check_prices(terms, counts(prompts), offer)
    actual = to_hex(packed_root(prompts))
    if actual != terms.prompt_root:
        raise errors.PromptMismatch(signed=terms.prompt_root, actual=actual)
    return prompts


def _check_offered(terms: Terms, manifest: Manifest) -> None:
    offered = {"comparator": COMPARATORS[manifest.comparator], "copies": _COPIES, "visibility": VISIBILITY_OPEN}
    for name, value in offered.items():
        found: int = getattr(terms, name)
        if found != value:
            raise errors.TermNotOffered(name=name, value=found, offered=value)


def check_params(params: Params, manifest: Manifest) -> None:
    """Raises ParamsRefused unless the workload's parameters are within their ranges and all others are 0."""
    for name, value in params.beside(manifest.params).items():
        raise errors.ParamsRefused(name=name, value=value, why="must be 0, the workload has no such parameter")
    for name, value in params.of(manifest.params).items():
        low, high = manifest.params[name].minimum, manifest.params[name].maximum
        if not low <= value <= high:
            raise errors.ParamsRefused(name=name, value=value, why=f"must be from {low} to {high}")


def _check_prices(terms: Terms, tokens: Sequence[int], offer: Offer) -> None:
    most = offer.manifest.most_units(tokens, terms.params.max_new_tokens)
    if most > offer.max_units:
        raise errors.TooManyUnits(most=most, unit=offer.manifest.unit, limit=offer.max_units)
    least = {
        "fixed_price": offer.fixed_price,
        "unit_price": offer.unit_price,
        # at the order's own prices, so that the maximum pays for all the work that a node may have
        "max_price": terms.fixed_price + most * terms.unit_price,
    }
    for name, value in least.items():
        found: int = getattr(terms, name)
        if found < value:
            raise errors.PriceTooLow(name=name, value=found, least=value)
    if terms.max_price > U48:
        raise errors.PriceTooHigh(max_price=terms.max_price, limit=U48)
