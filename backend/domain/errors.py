"""Errors that break a rule of the domain: an order that is not accepted, or a job that is not lent.

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
        way_out = "the requester opens it with JobEscrow.openLane"
        super().__init__(f"{requester} has no lane for the signer {signer}", way_out=way_out)


class LaneExpiresFirst(Conflict):
    def __init__(self, *, expiry: int, deadline: int) -> None:
        super().__init__(
            f"the lane expires at {expiry}, which is not after the order's deadline {deadline}",
            way_out="choose an earlier deadline or extend the lane with JobEscrow.openLane",
        )


class LaneUnderNotice(Conflict):
    def __init__(self, *, notice_at: int, until: int) -> None:
        way_out = "cancel it with JobEscrow.cancelNotice, or wait until it lapses"
        super().__init__(f"the lane is under notice of withdrawal from {notice_at} until {until}", way_out=way_out)


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
            f"the lane's balance of {balance} units does not cover open orders' {open_max} + {max_price} for this one",
            way_out=f"deposit {open_max + max_price - balance} more or wait until open orders settle",
        )


class LaneFull(Conflict):
    def __init__(self, *, open_orders: int, limit: int) -> None:
        way_out = "wait until some settle, or use another lane"
        super().__init__(f"the lane has {open_orders} open orders, at most {limit} are accepted", way_out=way_out)


class OperatorSuspended(Conflict):
    def __init__(self, *, operator_id: int, case_id: str) -> None:
        super().__init__(
            f"operator {operator_id} was found guilty in case {case_id} and is lent no more jobs",
            way_out="read the case on chain",
        )


class OperatorWithheld(Conflict):
    def __init__(self, *, operator_id: int, why: str) -> None:
        way_out = "its exact work and its pay are not affected"
        super().__init__(f"operator {operator_id} is lent no native work: {why}", way_out=way_out)


class StakeTooLow(Conflict):
    def __init__(self, *, stake: int, open_max: int, max_price: int, multiple: int, newcomer_price: int) -> None:
        way_out = f"add stake, {multiple} units for each unit of the jobs' maxima"
        if stake == 0:
            way_out += f"; without stake one job at a time is lent, of at most {newcomer_price} units"
        super().__init__(
            f"a stake of {stake} units does not cover {multiple} times the maxima of {open_max} units for open jobs + "
            f"{max_price} for the oldest waiting one",
            way_out=way_out,
        )


class LeaseNotHeld(Conflict):
    def __init__(self, *, node: str, order_id: str) -> None:
        super().__init__(f"{node} holds no lease of {order_id}", way_out="ask for a job with POST /v1/operator/leases")


class LeaseExpired(Conflict):
    def __init__(self, *, node: str, order_id: str, expires: int, now_s: int) -> None:
        super().__init__(
            f"{node}'s lease of {order_id} ended at {expires}, it is {now_s} now; late work is not paid",
            way_out="send heartbeats while a job runs",
        )


class InputRefused(Unacceptable):
    def __init__(self, why: str) -> None:
        way_out = "the workload's manifest says what an input may be; shorten a text that is too long"
        super().__init__(f"the input {why}", way_out=way_out)


class DeadlineRefused(Unacceptable):
    def __init__(self, *, deadline: int, now_s: int, ttl_s: int) -> None:
        super().__init__(
            f"terms.deadline = {deadline} must be after now ({now_s}) and at most {ttl_s} s ahead",
            way_out="sign a new order",
        )


class PriceTooLow(Unacceptable):
    def __init__(self, *, name: str, value: int, least: int) -> None:
        super().__init__(
            f"terms.{name} = {value} is below the {least} units required", way_out="GET /v1/network has the prices"
        )


class PriceTooHigh(Unacceptable):
    def __init__(self, *, max_price: int, limit: int) -> None:
        super().__init__(f"terms.max_price = {max_price} exceeds {limit}, the most that an epoch's row can carry")


class ParamsRefused(Unacceptable):
    def __init__(self, *, name: str, value: int | None, why: str) -> None:
        super().__init__(f"params.{name} = {value} {why}", way_out="the workload's manifest lists its parameters")


class PromptMismatch(Unacceptable):
    def __init__(self, *, signed: str, actual: str) -> None:
        super().__init__(
            f"the texts' token ids have the root {actual}, but terms.prompt_root = {signed}",
            way_out="tokenize the texts with the tokenizer of the workload's manifest, or ask POST /v1/tokenize",
        )


class TermNotOffered(Unacceptable):
    def __init__(self, *, name: str, value: int, offered: int) -> None:
        super().__init__(f"terms.{name} = {value} is not offered for this workload; only {offered} is")


class TooManyUnits(Unacceptable):
    def __init__(self, *, most: int, unit: str, limit: int) -> None:
        super().__init__(
            f"the order may take {most} units ({unit}s), this workload is offered with up to {limit} per job",
            way_out="send fewer or shorter texts, or ask for less",
        )
