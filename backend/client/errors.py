"""What can go wrong for a requester.

ClientError
├── Refused               the backend refused; `status`, `code` and its words
├── BackendUnavailable    no answer, or none that the agreement knows
├── NotOffered            no such workload on the price sheet, or not at the price that was allowed
├── NobodyServes          no node asks for work of the workload now
├── NotTaken              a text, a batch or a parameter beyond what the workload takes
├── NotDelivered          the order has no output
├── Untrue                what the backend said does not check out
├── WaitedTooLong         the order is not there yet
├── BadInput              nothing to order, or an order that cannot be told
├── TooLittle             a wallet or lane holds less than is moved
├── NotWithdrawable       a lane without a ripe notice
├── NotContestable        a charge that cannot be contested, or a contest without the step that is asked for
├── OutputHidden          an answer whose output does not stand in its transaction as it should
├── NoSession             no session of that name
├── GrantSpent            a grant that was brought before, or before its turn
└── NotConfigured         a command was not told where something is
"""

from contracts.protocol.errors import AssayError


class ClientError(AssayError):
    """Base. `code` is for machines."""


class Refused(ClientError):
    def __init__(self, *, status: int, code: str, detail: str) -> None:
        self.status, self.code = status, code
        super().__init__(f"refused ({code}): {detail}")


class BackendUnavailable(ClientError):
    def __init__(self, *, url: str, why: str) -> None:
        super().__init__(f"no usable answer from {url}: {why}", way_out="is it a running Assay backend?")


class NotOffered(ClientError):
    def __init__(self, *, workload: str, offered: list[str]) -> None:
        super().__init__(
            f"{workload!r} is no one workload's id or model", way_out=f"offered are: {', '.join(offered) or 'none'}"
        )


class NobodyServes(ClientError):
    def __init__(self, *, kind: str, model: str) -> None:
        super().__init__(
            f"nobody serves {kind} ({model}) now: no node asked for such work lately. Nothing was signed",
            way_out=(
                "try again later, or order with --wait-for-node: the order then waits until its deadline, and costs "
                "nothing if no node comes"
            ),
        )


class NotTaken(ClientError):
    code = "not_taken"


class NotDelivered(ClientError):
    def __init__(self, *, order_id: str, state: str) -> None:
        super().__init__(f"order {order_id} is {state} and has no output")


class Untrue(ClientError):
    def __init__(self, what: str, *, said: object, found: object) -> None:
        super().__init__(
            f"{what}: the backend says {said}, it is {found}", way_out="do not trust this backend, keep its answer"
        )


class WaitedTooLong(ClientError):
    def __init__(self, *, order_id: str, state: str, waited_s: float) -> None:
        super().__init__(f"order {order_id} is still {state} after {waited_s:.0f} s", way_out="wait again with its id")


class BadInput(ClientError):
    code = "bad_input"


class TooLittle(ClientError):
    def __init__(self, *, what: str, has: str, asked: str) -> None:
        super().__init__(f"{what} holds {has}, not {asked}", way_out="give less, or `all` of a lane")


class NotWithdrawable(ClientError):
    code = "not_withdrawable"


class NotContestable(ClientError):
    code = "not_contestable"


class OutputHidden(ClientError):
    def __init__(self, *, tx_hash: str) -> None:
        super().__init__(
            f"transaction {tx_hash} answered the contest through another contract",
            way_out="the output is in its trace (debug_traceTransaction)",
        )


class NoSession(ClientError):
    def __init__(self, *, name: str, folder: object, known: list[str]) -> None:
        super().__init__(
            f"there is no session {name!r} in {folder}; there are: {', '.join(known) or 'none'}",
            way_out="`assay wallet session new` makes one",
        )


class GrantSpent(ClientError):
    def __init__(self, *, nonce: int, next_nonce: int) -> None:
        why = "it was brought before" if nonce < next_nonce else "an earlier grant of this wallet comes first"
        super().__init__(
            f"the grant has nonce {nonce}, the wallet's next is {next_nonce}: {why}",
            way_out="sign another, or bring that one",
        )


class NotConfigured(ClientError):
    def __init__(self, *, option: str, variable: str, what: str) -> None:
        super().__init__(
            f"{what} is not known",
            way_out=f"give {option} or set {variable}, or call it in the folder where `assay up` runs a network",
        )
