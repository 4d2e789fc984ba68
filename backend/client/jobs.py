"""Quotes, signs and submits orders, waits for them, and checks their answers."""

import secrets
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from backend.client import checks
from backend.client.errors import NotOffered, NotTaken, Refused, Untrue, WaitedTooLong
from backend.client.http import BackendHttp
from backend.client.lane_lock import LaneLock
from backend.client.vocabulary import Vocabularies
from contracts.onchain.chain import Chain
from contracts.onchain.lanes import read_lane
from contracts.protocol.canonical import canonical_json
from contracts.protocol.errors import BadTexts, NotPacked, first_fault
from contracts.protocol.hashing import keccak, to_hex
from contracts.protocol.manifest import MAX_NEW_TOKENS, InputLimits, Manifest
from contracts.protocol.packed import counts, packed_root
from contracts.protocol.pricing import spend_cap_units
from contracts.protocol.prompts import read_answer
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.records import COMPARATORS, Order, Params, Terms
from contracts.protocol.signing import Signer
from contracts.protocol.texts import encode_texts
from contracts.protocol.typed_data import Domain
from contracts.protocol.wire import LaneView, NetworkInfo, OrderView, PriceSheetEntry, SubmitOrder

_DELIVERED = ("delivered", "rooted", "paid", "void", "skipped", "expired")
_SETTLED = ("paid", "void", "skipped", "expired")
_TRIES, _TRIED_AGAIN = 5, ("cap_too_low", "blob_missing")
"""Attempts to sign an order again after another client of the lane was faster, or its texts were evicted."""
_CUT = "length"
"""The finish reason of an answer that reached its limit."""
_DEFAULT_NEW_TOKENS = 64
"""If the manifest has no default."""
_TTL_PART = (9, 10)
"""The part of the longest allowed deadline that is used, so that clocks may differ a little."""


@dataclass(frozen=True)
class Answer:
    """A checked output. `raw`: packed, under the commitment's output root.

    `items`: one per text, in order: an object with `text`, `finish_reason` and `token_ids` if tokens were generated,
    else a list of integers.
    """

    items: list[Any]
    raw: bytes

    @property
    def texts(self) -> list[str]:
        """Each item for people: its text if it has one, else its JSON."""
        return [str(item["text"]) if _has_text(item) else canonical_json(item).decode() for item in self.items]

    @property
    def text(self) -> str:
        """All items for people, an empty line between them."""
        return "\n\n".join(self.texts)

    @property
    def cut(self) -> list[int]:
        """The places of answers that ended at the order's limit."""
        return [place for place, item in enumerate(self.items) if _has_text(item) and item.get("finish_reason") == _CUT]


class AssayClient:
    """A requester's session with one backend.

    `signer`: the lane's key. `requester`: the lane's owner, by default the signer. With a `chain`, the backend's claims
    about the deployment, the lane and receipts are checked against it. `lock`: keeps other clients of the lane from
    signing at the same time (`lane_lock`); without it, an order that was overtaken is signed again a few times.
    `tokenizers`: a folder for fetched tokenizers.
    """

    def __init__(
        self,
        backend_url: str,
        signer: Signer,
        requester: str | None = None,
        chain: Chain | None = None,
        http: httpx.Client | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        lock: LaneLock = nullcontext,
        tokenizers: Path | None = None,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._backend, self._lock = BackendHttp(backend_url, http), lock
        self._vocabularies = Vocabularies(self._backend, tokenizers)
        self._signer, self._chain = signer, chain
        self.requester = (requester or signer.address).lower()
        self._network: NetworkInfo | None = None
        self._manifests: dict[str, Manifest] = {}

    def network(self) -> NetworkInfo:
        """The deployment and the present price sheet."""
        network = self._backend.network()
        if self._chain is not None:
            checks.check_network(network, self._chain)
        self._network = network
        return network

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of this requester's signatures."""
        network = self._network or self.network()
        return Domain(network.chain_id, network.escrow)

    def quote(self, workload: str | None = None) -> PriceSheetEntry:
        """The price of a workload, by id, model or kind; of the only one offered if none is named.

        `serving`: how many nodes serve it now; without one, an order waits for a node or expires.
        """
        sheet = self.network().price_sheet
        found = [entry for entry in sheet if workload in (None, entry.workload_id, entry.model, entry.kind)]
        if len(found) != 1:
            raise NotOffered(workload=workload or "", offered=[f"{e.model} = {e.workload_id}" for e in sheet])
        return found[0]

    def submit(
        self,
        prompt: str | list[str],
        workload: str | None = None,
        max_new_tokens: int | None = None,
        params: dict[str, int] | None = None,
    ) -> OrderView:
        """Uploads a prompt or a batch, signs one order at the present prices, and returns it accepted.

        The signed cap is what the lane was charged, plus its open orders' maxima and this order's: never more. `params`
        and `max_new_tokens` replace the manifest's defaults; without a default, an answer has at most 64 tokens. Raises
        BadTexts or NotTaken, before anything is signed, for texts or parameters that the workload does not accept.
        """
        entry = self.quote(workload)
        manifest = self._manifest(entry.workload_id)
        texts = [prompt] if isinstance(prompt, str) else prompt
        given = _default_params(manifest, max_new_tokens, entry.max_units // max(1, len(texts))) | (params or {})
        _require_short(texts, manifest.input)
        _require_ranges(given, manifest)
        data = encode_texts(texts)
        manifest.input.read(data)
        prompts = _packed(manifest, self._vocabularies, texts)
        chosen = Params(**given)
        most_units = manifest.most_units(counts(prompts), chosen.max_new_tokens)
        _require_units(most_units, entry, len(texts))
        terms = self._terms(entry, manifest, data, prompts, chosen, most_units)
        with self._lock():
            return self._sent(terms, data)

    def _sent(self, terms: Terms, data: bytes) -> OrderView:
        """The order, signed and accepted; signed again if another client of the lane was faster."""
        for left in reversed(range(_TRIES)):
            self._backend.put_blob(terms.texts_hash, data)
            try:
                return self._checked(self._backend.submit(self._signed(terms)))
            except Refused as refused:
                if refused.code not in _TRIED_AGAIN or left == 0:
                    raise
        raise AssertionError("the loop returns or raises")

    def orders(self, *, of_lane: bool = False) -> list[OrderView]:
        """The requester's newest orders, oldest first; with `of_lane`, those in the signer's lane."""
        signer = self._signer.address if of_lane else None
        return [self._checked(view) for view in self._backend.orders(self.requester, signer)]

    def order(self, order_id: str) -> OrderView:
        return self._checked(self._backend.order(order_id))

    def lane(self) -> LaneView:
        """The lane by the backend; its charges are checked against the chain."""
        lane = self._backend.lane(self.requester, self._signer.address)
        if self._chain is not None:
            charged = read_lane(self._chain, self.requester, self._signer.address).charged
            if lane.charged > charged:  # read after the backend's answer, so the chain's is no older
                raise Untrue("charged", said=lane.charged, found=charged)
        return lane

    def wait(self, order_id: str, *, settled: bool = False, timeout_s: float = 600.0, poll_s: float = 0.5) -> OrderView:
        """The order once it is delivered or expired; with `settled`, once it is settled or expired."""
        until, wanted = self._clock() + timeout_s, _SETTLED if settled else _DELIVERED
        while (view := self.order(order_id)).state not in wanted:
            if self._clock() > until:
                raise WaitedTooLong(order_id=order_id, state=view.state, waited_s=timeout_s)
            self._sleep(poll_s)
        return view

    def output(self, view: OrderView) -> Answer:
        """The answer, after checking its root, its node's signature and its price. Raises NotDelivered, Untrue."""
        commitment = checks.check_commitment(view, self.domain)
        raw = self._backend.blob(commitment.output_root)
        found = _root(raw)
        if found != commitment.output_root:
            raise Untrue("output", said=commitment.output_root, found=found)
        return self.read(view.order.terms.workload_id, raw)

    def read(self, workload_id: str, output: bytes) -> Answer:
        """A workload's packed output for people. Raises Untrue for malformed bytes."""
        manifest = self._manifest(workload_id)
        try:
            return Answer(read_answer(manifest, self._vocabularies.of(manifest), output), output)
        except NotPacked as error:
            raise Untrue("output", said="packed words", found=str(error)) from error

    def verify_price(self, view: OrderView) -> int:
        """The order's cost in units, recomputed from what was signed, and checked under the chain's root if rooted.

        Raises NotDelivered, Untrue.
        """
        checks.check_commitment(view, self.domain)
        if view.receipt is not None and self._chain is not None:
            checks.check_receipt(view, self.domain, self._chain)
        assert view.amount_units is not None, "check_commitment compared it"
        return view.amount_units

    def receipt(self, order_id: str) -> PaymentReceipt:
        """A rooted order's receipt, checked against order and chain. It proves the payment without this backend.

        Raises Refused (`not_rooted`), Untrue.
        """
        view, receipt = self.order(order_id), self._backend.receipt(order_id)
        checks.check_same(view, receipt)
        self.verify_price(view)
        return receipt

    def close(self) -> None:
        self._backend.close()

    def __enter__(self) -> "AssayClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _checked(self, view: OrderView) -> OrderView:
        checks.check_order(view, self.domain)
        return view

    def _manifest(self, workload_id: str) -> Manifest:
        if workload_id not in self._manifests:
            raw = self._backend.manifest(workload_id)
            try:
                manifest = Manifest.model_validate_json(raw)
            except ValidationError as error:
                raise Untrue("manifest of " + workload_id, said="a manifest", found=first_fault(error)) from error
            if manifest.workload_id() != workload_id:
                raise Untrue("manifest of " + workload_id, said=workload_id, found=manifest.workload_id())
            self._manifests[workload_id] = manifest
        return self._manifests[workload_id]

    def _terms(
        self, entry: PriceSheetEntry, manifest: Manifest, data: bytes, prompts: bytes, params: Params, most_units: int
    ) -> Terms:
        assert self._network is not None, "quote reads the network"
        ttl_s = self._network.constants.order_ttl_s * _TTL_PART[0] // _TTL_PART[1]
        return Terms(
            workload_id=entry.workload_id, prompt_root=to_hex(packed_root(prompts)), texts_hash=to_hex(keccak(data)),
            params=params, comparator=COMPARATORS[manifest.comparator], fixed_price=entry.fixed_price,
            unit_price=entry.unit_price, max_price=entry.fixed_price + most_units * entry.unit_price,
            deadline=int(time.time()) + ttl_s, salt=secrets.randbits(64),
        )  # fmt: skip

    def _signed(self, terms: Terms) -> SubmitOrder:
        lane = self.lane()
        cap = spend_cap_units(lane.charged, lane.open_max, terms.max_price)
        order = Order(requester=self.requester, spend_cap=cap, terms=terms)
        signature = self._signer.sign(self.domain.order_id(order))
        return SubmitOrder(order=order, signer=self._signer.address, signature=signature)


def _default_params(manifest: Manifest, max_new_tokens: int | None, fitting: int) -> dict[str, int]:
    """The parameters that the user does not give. `fitting`: the longest answers that still fit into one order."""
    params = {name: allowed.default for name, allowed in manifest.params.items() if allowed.default is not None}
    allowed = manifest.params.get(MAX_NEW_TOKENS)
    if allowed is not None:
        wanted = min(params.get(MAX_NEW_TOKENS, _DEFAULT_NEW_TOKENS), allowed.maximum, fitting)
        params[MAX_NEW_TOKENS] = max(allowed.minimum, wanted)
    if max_new_tokens is not None:
        params[MAX_NEW_TOKENS] = max_new_tokens
    return params


def _require_short(texts: list[str], limits: InputLimits) -> None:
    """Raises NotTaken for what people can correct. `InputLimits.read` checks the same and more, for machines."""
    if len(texts) > limits.max_texts:
        says = f"the order has {len(texts)} texts, this workload takes at most {limits.max_texts} in one"
        raise NotTaken(says, way_out="send the others in another order")
    for place, text in enumerate(texts, 1):
        length = len(text.encode(errors="replace"))
        if length > limits.max_bytes:
            which = "the text" if len(texts) == 1 else f"text {place} of {len(texts)}"
            has, most = f"{length} bytes ({len(text)} characters)", f"at most {limits.max_bytes} bytes per text"
            way_out = "shorten it, or split it into several texts"
            raise NotTaken(f"{which} has {has}, this workload takes {most}", way_out=way_out)


def _require_ranges(params: dict[str, int], manifest: Manifest) -> None:
    missing = sorted(set(manifest.params) - set(params))
    if missing:
        raise NotTaken(f"{manifest.kind} needs the parameter {missing[0]}; nothing was signed")
    for name, value in params.items():
        allowed = manifest.params.get(name)
        if allowed is None:
            known = ", ".join(sorted(manifest.params)) or "none"
            raise NotTaken(f"{manifest.kind} has no parameter {name}", way_out=f"it has: {known}")
        if not allowed.minimum <= value <= allowed.maximum:
            raise NotTaken(
                f"{name} is {value}, this workload takes {allowed.minimum} to {allowed.maximum}; nothing was signed"
            )


def _require_units(most: int, entry: PriceSheetEntry, texts: int) -> None:
    if most > entry.max_units:
        raise NotTaken(
            f"the order may take {most} {entry.unit}s, this workload is offered up to {entry.max_units} per order; "
            + ("ask for shorter answers (--max-new-tokens)" if entry.most_new_tokens else "shorten the texts")
            + (f", or order the {texts} texts separately" if texts > 1 else "")
        )


def _packed(manifest: Manifest, vocabularies: Vocabularies, texts: list[str]) -> bytes:
    """The packed prompts of texts. Raises NotTaken."""
    try:
        return vocabularies.prompts(manifest, texts)
    except BadTexts as error:
        raise NotTaken(f"{error}; nothing was signed") from error


def _root(raw: bytes) -> str:
    try:
        return to_hex(packed_root(raw))
    except NotPacked as error:
        return str(error)


def _has_text(item: Any) -> bool:
    return isinstance(item, dict) and isinstance(item.get("text"), str)
