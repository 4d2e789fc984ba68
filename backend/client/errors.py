"""What can go wrong for a requester.

ClientError
├── Refused               the backend refused; `status`, `code` and its words
├── BackendUnavailable    no answer, or none that the agreement knows
├── NotOffered            no such workload on the price sheet, or not at the price that was allowed
├── NotDelivered          the order has no output
├── Untrue                what the backend said does not check out
├── WaitedTooLong         the order is not there yet
└── BadAmount             an amount that is no whole number of units
"""


class ClientError(Exception):
    """Base. `code` is for machines."""

    code = "client_error"


class Refused(ClientError):
    def __init__(self, *, status: int, code: str, detail: str) -> None:
        self.status, self.code = status, code
        super().__init__(f"refused ({code}): {detail}")


class BackendUnavailable(ClientError):
    code = "backend_unavailable"

    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"no usable answer from {url}: {why}; is it a running Assay backend?")


class NotOffered(ClientError):
    code = "not_offered"

    def __init__(self, *, workload: str, offered: list[str]) -> None:
        super().__init__(f"{workload!r} is no one workload's id or model; offered are: {', '.join(offered) or 'none'}")


class NotDelivered(ClientError):
    code = "not_delivered"

    def __init__(self, *, order_id: str, state: str) -> None:
        super().__init__(f"order {order_id} is {state} and has no output")


class Untrue(ClientError):
    code = "untrue"

    def __init__(self, what: str, *, said: object, found: object) -> None:
        super().__init__(f"{what}: the backend says {said}, it is {found}; do not trust this backend, keep its answer")


class WaitedTooLong(ClientError):
    code = "waited_too_long"

    def __init__(self, *, order_id: str, state: str, waited_s: float) -> None:
        super().__init__(f"order {order_id} is still {state} after {waited_s:.0f} s; wait again with its id")


class BadAmount(ClientError):
    code = "bad_amount"

    def __init__(self, *, text: str, why: str) -> None:
        super().__init__(f"{text!r} {why}")
