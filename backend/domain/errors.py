"""What breaks a rule of the domain: an order that its lane or workload does not take, a job that is not lent.

Conflict
├── LaneNotOpened, LaneExpiresFirst, LaneUnderNotice
├── CapTooLow, BalanceTooLow, LaneFull
├── OperatorSuspended, OperatorWithheld, StakeTooLow
└── LeaseNotHeld, LeaseExpired
Unacceptable
├── InputRefused, DeadlineRefused, PriceTooLow, PriceTooHigh
└── ParamsRefused, PromptMismatch, TermNotOffered, TooManyUnits
"""

from backend.errors import Conflict, Unacceptable


class LaneNotOpened(Conflict):
    def __init__(self, *, requester: str, signer: str) -> None:
        super().__init__(
            f"{requester} has no lane for the signer {signer}", way_out="the requester opens it with JobEscrow.openLane"
        )


class LaneExpiresFirst(Conflict):
    def __init__(self, *, expiry: int, deadline: int) -> None:
        super().__init__(
            f"the lane expires at {expiry}, not after the order's deadline {deadline}",
            way_out="choose an earlier deadline or extend the lane with JobEscrow.openLane",
        )


class LaneUnderNotice(Conflict):
    def __init__(self, *, notice_at: int, until: int) -> None:
        super().__init__(
            f"the lane is under notice of withdrawal since {notice_at}, until {until}",
            way_out="cancel it with JobEscrow.cancelNotice, or wait until it has lapsed",
        )


class CapTooLow(Conflict):
    def __init__(self, *, cap: int, charged: int, open_max: int, max_price: int) -> None:
        super().__init__(
            f"spend_cap = {cap} is below {charged + open_max + max_price} = {charged} charged + {open_max} open + "
            f"{max_price} for this order",
            way_out="read GET /v1/lanes again and sign the order with that cap",
        )


class BalanceTooLow(Conflict):
    def __init__(self, *, balance: int, open_max: int, max_price: int) -> None:
        super().__init__(
            f"the lane's balance of {balance} units does not cover {open_max} for open orders + {max_price} for this",
            way_out=f"deposit {open_max + max_price - balance} more or wait until open orders settle",
        )


class LaneFull(Conflict):
    def __init__(self, *, open_orders: int, limit: int) -> None:
        super().__init__(
            f"the lane has {open_orders} open orders, at most {limit} are taken",
            way_out="wait until some settle, or use another lane",
        )


class OperatorSuspended(Conflict):
    def __init__(self, *, operator_id: int, case_id: str) -> None:
        super().__init__(
            f"operator {operator_id} was found guilty in case {case_id} and gets no jobs here",
            way_out="the case file can be read on chain",
        )


class OperatorWithheld(Conflict):
    def __init__(self, *, operator_id: int, why: str) -> None:
        super().__init__(
            f"operator {operator_id} is given no native work: {why}",
            way_out="its exact workloads and its pay are not touched",
        )


class StakeTooLow(Conflict):
    def __init__(self, *, stake: int, open_max: int, max_price: int, multiple: int, newcomer_price: int) -> None:
        alone = f"without stake one job at a time is lent, of at most {newcomer_price} units"
        way_out = f"{alone}; add stake, k = {multiple}" if stake == 0 else f"add stake or wait, k = {multiple}"
        super().__init__(
            f"a stake of {stake} units does not cover {open_max} open + {max_price} for the oldest job",
            way_out=f"{way_out}",
        )


class LeaseNotHeld(Conflict):
    def __init__(self, *, node: str, order_id: str) -> None:
        super().__init__(f"{node} holds no lease of {order_id}", way_out="ask for a job with POST /v1/operator/leases")


class LeaseExpired(Conflict):
    def __init__(self, *, node: str, order_id: str, expires: int, now_s: int) -> None:
        super().__init__(
            f"{node}'s lease of {order_id} ended at {expires}, it is {now_s}; nothing is owed for late work",
            way_out="send heartbeats while a job runs",
        )


class InputRefused(Unacceptable):
    def __init__(self, why: str) -> None:
        super().__init__(
            f"the input {why}",
            way_out="shorten a text that is too long: the workload's manifest says what an input may be",
        )


class DeadlineRefused(Unacceptable):
    def __init__(self, *, deadline: int, now_s: int, ttl_s: int) -> None:
        super().__init__(
            f"terms.deadline = {deadline} must lie after now ({now_s}) and at most {ttl_s} s ahead",
            way_out="sign a new order",
        )


class PriceTooLow(Unacceptable):
    def __init__(self, *, name: str, value: int, least: int) -> None:
        super().__init__(
            f"terms.{name} = {value} is below the {least} units asked", way_out="GET /v1/network has the prices"
        )


class PriceTooHigh(Unacceptable):
    def __init__(self, *, max_price: int, limit: int) -> None:
        super().__init__(f"terms.max_price = {max_price} exceeds {limit}, the most that a row of an epoch carries")


class ParamsRefused(Unacceptable):
    def __init__(self, *, name: str, value: int | None, why: str) -> None:
        super().__init__(f"params.{name} = {value} {why}", way_out="the workload's manifest lists its parameters")


class PromptMismatch(Unacceptable):
    def __init__(self, *, signed: str, actual: str) -> None:
        super().__init__(
            f"the texts' token ids have the root {actual}, terms.prompt_root = {signed} was signed",
            way_out="cut the texts with the tokenizer of the workload's manifest, or ask POST /v1/tokenize",
        )


class TermNotOffered(Unacceptable):
    def __init__(self, *, name: str, value: int, offered: int) -> None:
        super().__init__(f"terms.{name} = {value} is not offered for this workload, only {offered} is")


class TooManyUnits(Unacceptable):
    def __init__(self, *, most: int, unit: str, limit: int) -> None:
        super().__init__(
            f"the order may take {most} units ({unit}s), the workload is offered up to {limit} a job",
            way_out="send fewer or shorter texts, or ask for less",
        )
