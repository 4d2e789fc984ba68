"""Authenticates requests that nodes sign, and finds the leases that they hold."""

from sqlmodel import Session

from backend.chain.views import ChainView
from backend.domain.errors import LeaseExpired, LeaseNotHeld
from backend.errors import StaleRequest, UnknownNode, WrongAction, WrongSigner
from backend.store.facts import last_lease
from backend.store.tables import LeaseRow
from contracts.protocol.records import NodeRequest
from contracts.protocol.signing import recover
from contracts.protocol.typed_data import Domain
from contracts.protocol.wire import REQUEST_TOLERANCE_S


def authenticate(
    request: NodeRequest, signature: str, action: str, chain: ChainView, domain: Domain, now_s: int
) -> int:
    """The operator of the node that signed this request recently, and for this action. Raises an Unauthenticated."""
    if request.action != action:
        raise WrongAction(found=request.action, expected=action)
    if abs(request.timestamp - now_s) > REQUEST_TOLERANCE_S:
        raise StaleRequest(timestamp=request.timestamp, now_s=now_s, tolerance_s=REQUEST_TOLERANCE_S)
    recovered = recover(domain.node_request_digest(request), signature)
    if recovered != request.node:
        raise WrongSigner(what="request", named=request.node, recovered=recovered)
    operator_id = chain.operator_of(request.node)
    if operator_id == 0:
        raise UnknownNode(node=request.node)
    return operator_id


def require_lease(session: Session, order_id: str, node: str, now_s: int) -> LeaseRow:
    """The lease under which `node` holds a job now. Raises LeaseNotHeld or LeaseExpired."""
    lease = last_lease(session, order_id)
    if lease is None or lease.node != node:
        raise LeaseNotHeld(node=node, order_id=order_id)
    if now_s > lease.expires:
        raise LeaseExpired(node=node, order_id=order_id, expires=lease.expires, now_s=now_s)
    return lease
