"""Errors of the requester's client.

ClientError
├── Refused               the backend refused; `status`, `code` and its message
├── BackendUnavailable    no answer, or one that is not of the API
├── NotOffered            no such workload on the price sheet, or several
├── NobodyServes          no node asks for work of the workload now
├── NotTaken              a text, a batch or a parameter that the workload does not accept
├── NotDelivered          the order has no output
├── Untrue                a claim of the backend does not check out
├── WaitedTooLong         an order is not delivered or rooted in time
├── BadInput              an argument that is missing, malformed or ambiguous
├── TooLittle             a wallet or lane holds less than is to be moved
├── NotWithdrawable       a lane without a mature notice
├── NotContestable        a charge that cannot be contested, or a contest that does not allow this step
├── OutputHidden          an answer whose output is not in its transaction's calldata
├── NoSession             no session of that name
├── GrantSpent            a grant that was submitted before, or before its turn
└── NotConfigured         a command lacks an option
"""

from contracts.protocol.errors import AssayError


class ClientError(AssayError):
    """Base of the requester's errors."""


class Refused(ClientError):
    def __init__(self, *, status: int, code: str, detail: str) -> None:
        self.status, self.code, self.detail = status, code, detail
        super().__init__(f"refused ({code}): {detail}")


class BackendUnavailable(ClientError):
    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"no usable answer from {url}: {why}", way_out="check that an Assay backend runs there")


class NotOffered(ClientError):
    def __init__(self, *, workload: str, offered: list[str]) -> None:
        way_out = f"name one by its id or model: {', '.join(offered) or 'none is offered'}"
        super().__init__(f"{workload!r} does not name exactly one workload", way_out=way_out)


class NobodyServes(ClientError):
    def __init__(self, *, kind: str, model: str) -> None:
        super().__init__(
            f"no node serves {kind} ({model}) now, so nothing was signed",
            way_out=(
                "try again later, or order with --wait-for-node: the order then waits until its deadline and costs "
                "nothing if no node takes it"
            ),
        )


class NotTaken(ClientError):
    code = "not_taken"


class NotDelivered(ClientError):
    def __init__(self, *, order_id: str, state: str) -> None:
        super().__init__(f"order {order_id} is {state} and has no output")


class Untrue(ClientError):
    def __init__(self, what: str, *, said: object, found: object) -> None:
        way_out = "do not trust this backend; keep its answer as evidence"
        super().__init__(f"{what}: the backend says {said}, but it is {found}", way_out=way_out)


class WaitedTooLong(ClientError):
    def __init__(self, *, order_id: str, state: str, waited_s: float) -> None:
        way_out = f"`assay jobs show {order_id}` shows its state"
        super().__init__(f"order {order_id} is still {state} after {waited_s:.0f} s", way_out=way_out)


class BadInput(ClientError):
    code = "bad_input"


class TooLittle(ClientError):
    def __init__(self, *, what: str, has: str, asked: str) -> None:
        super().__init__(f"{what} holds {has}, less than {asked}", way_out="move less, or `all` of a lane")


class NotWithdrawable(ClientError):
    code = "not_withdrawable"


class NotContestable(ClientError):
    code = "not_contestable"


class OutputHidden(ClientError):
    def __init__(self, *, tx_hash: str) -> None:
        way_out = "read the output from its trace (debug_traceTransaction)"
        super().__init__(f"transaction {tx_hash} answered the contest through another contract", way_out=way_out)


class NoSession(ClientError):
    def __init__(self, *, name: str, folder: object, known: list[str]) -> None:
        super().__init__(
            f"there is no session {name!r} in {folder}; there are: {', '.join(known) or 'none'}",
            way_out="`assay wallet session new` makes one",
        )


class GrantSpent(ClientError):
    def __init__(self, *, nonce: int, next_nonce: int) -> None:
        spent = nonce < next_nonce
        way_out = "it was used: sign another" if spent else "submit the wallet's earlier grant first"
        super().__init__(f"the grant has nonce {nonce}, but the wallet's next is {next_nonce}", way_out=way_out)


class NotConfigured(ClientError):
    def __init__(self, *, option: str, variable: str, what: str) -> None:
        way_out = f"give {option} or set {variable}, or run this in the folder where `assay up` runs a network"
        super().__init__(f"{what} is not known", way_out=way_out)
