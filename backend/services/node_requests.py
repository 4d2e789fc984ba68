"""Authenticates requests that nodes sign."""

from backend.chain.views import ChainView
from backend.errors import StaleRequest, UnknownNode, WrongAction, WrongSigner
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
