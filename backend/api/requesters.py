"""Routes for requesters: orders and lanes."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from pydantic.json_schema import SkipJsonSchema

from backend import errors
from backend.api import examples, problems
from backend.api.services import Services
from backend.api.strict_json import StrictJsonRoute
from backend.domain import errors as domain
from contracts.protocol.errors import BadSignature
from contracts.protocol.receipt import PaymentReceipt
from contracts.protocol.records import Address, Bytes32
from contracts.protocol.wire import LaneView, OrderView, SubmitOrder, Tokenize, Tokenized

_KNOWN: dict[int | str, dict[str, Any]] = {200: {"model": OrderView, "description": "Known before"}}
_TOLD_ORDERS = problems.told(
    BadSignature, errors.WrongSigner, errors.UnknownWorkload, errors.BlobMissing, domain.InputRefused,
    domain.DeadlineRefused, domain.TermNotOffered, domain.ParamsRefused, domain.PromptMismatch, domain.TooManyUnits,
    domain.PriceTooLow, domain.PriceTooHigh, domain.LaneNotOpened, domain.LaneExpiresFirst, domain.LaneUnderNotice,
    domain.LaneFull, domain.BalanceTooLow, domain.CapTooLow,
)  # fmt: skip


def requesters_router(services: Services) -> APIRouter:
    """POST and GET orders, GET lanes."""
    router = APIRouter(prefix="/v1", tags=["requesters"], route_class=StrictJsonRoute)

    @router.post("/orders", status_code=201, responses=_KNOWN | _TOLD_ORDERS)
    def submit(
        submitted: Annotated[SubmitOrder, Body(openapi_examples=examples.SUBMIT_ORDER)], response: Response
    ) -> OrderView:
        """Accepts a signed order whose texts were put before: 201, or 200 for the same order again."""
        order_id, is_new = services.intake.accept(submitted)
        response.status_code = 201 if is_new else 200
        return services.views.order(order_id)

    @router.get("/orders/{order_id}", responses=problems.told(errors.UnknownOrder))
    def order(order_id: Bytes32) -> OrderView:
        """An order's present state. The same for every job, checked or not."""
        return services.views.order(order_id)

    @router.post("/tokenize", responses=problems.told(errors.UnknownWorkload, domain.InputRefused))
    def tokenize(asked: Annotated[Tokenize, Body(openapi_examples=examples.TOKENIZE)]) -> Tokenized:
        """The token ids that an order of these texts binds. Check that they spell the texts."""
        return services.words.tokenize(asked)

    @router.get("/orders/{order_id}/answer", responses=problems.told(errors.UnknownOrder, errors.NothingDelivered))
    def answer(order_id: Bytes32) -> list[Any]:
        """The output for people, an item a text. The commitment's root covers its ids."""
        return services.words.answer(order_id)

    @router.get("/orders/{order_id}/receipt", responses=problems.told(errors.UnknownOrder, errors.NotRooted))
    def receipt(order_id: Bytes32) -> PaymentReceipt:
        """Proof of the payment for anyone with an RPC endpoint: `assay verify`. Complete once the epoch settled."""
        return services.views.receipt(order_id)

    @router.get("/orders")
    def orders(
        requester: Annotated[Address, Query()], signer: Annotated[Address | SkipJsonSchema[None], Query()] = None
    ) -> list[OrderView]:
        """The newest orders of a requester, oldest first; with `signer`, those in one of its lanes."""
        return services.views.orders_of(requester, signer)

    @router.get("/lanes/{requester}/{signer}")
    def lane(requester: Address, signer: Address) -> LaneView:
        """The cap that the next order needs, and whether the lane covers it."""
        return services.views.lane(requester, signer)

    return router
