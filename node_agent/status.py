"""An operator's status: its account on chain, its running node, its cases, and what limits its earnings now."""

import time
from dataclasses import dataclass, field

from contracts.onchain.chain import Chain
from contracts.protocol.hashing import from_hex
from contracts.protocol.native.standing import WATCH_CHECKS, State
from contracts.protocol.wire import NetworkInfo, NodeView
from contracts.record.history import read_history
from node_agent.errors import CallFailed
from node_agent.home import PULSE, is_running
from node_agent.session.backend_api import BackendApi
from node_agent.session.court import Accusation, read_accusation
from node_agent.session.earnings import Account, read_account
from node_agent.session.gas import appeal_wei, balance_wei, ether
from node_agent.session.journal import NodeJournal
from node_agent.session.pulse import LastBeat, last_beat
from node_agent.where import NodePlace

_QUIET_STATES = ("working", "no_job", "delivered")
_MOST_GIVEN_UP = 5
_SILENT_AFTER_S = 60
"""A node that runs beats every few seconds; a job's heartbeats come every twenty."""


@dataclass(frozen=True)
class NodeStatus:
    """Amounts in units, times in Unix seconds. `network` and `view` are None when no backend answers.

    `given_up`: the newest jobs that ended here without an answer, and why. `overdue_order`: the order behind the
    overdue trace that the backend names, if it is in this home's journal.
    """

    account: Account
    penalty_multiple: int
    cases: list[Accusation]
    network: NetworkInfo | None
    view: NodeView | None
    backend_error: str | None
    beat: LastBeat | None
    is_running: bool
    hot_key: str
    hot_key_wei: int
    appeal_wei: int
    undelivered: int
    unrooted: int
    rooted: int
    refused: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    overdue_order: str | None = None
    read_at_s: int = 0

    @property
    def void_jobs(self) -> int:
        """Jobs that the court ruled against."""
        return sum(case.ruling == "node guilty" for case in self.cases)

    @property
    def open_cases(self) -> list[Accusation]:
        return [case for case in self.cases if not case.executed]

    @property
    def free_units(self) -> int | None:
        """The further open value that the stake covers; None if what is open is not known."""
        if self.view is None:
            return None
        return max(0, self.account.stake_units // self.penalty_multiple - self.view.open_max)

    @property
    def cheapest_job_units(self) -> int | None:
        """The lowest maximum price of an offered job."""
        if self.network is None or not self.network.price_sheet:
            return None
        return min(entry.fixed_price + entry.unit_price for entry in self.network.price_sheet)


def read_status(where: NodePlace) -> NodeStatus:
    """Everything from chain and journal, and from the backend if it answers. Raises ChainError or JournalError."""
    chain, journal, operator_id = where.chain, where.journal, where.operator_id
    history = read_history(chain, chain.head().number)
    cases = [case for case in history.cases.values() if case.operator_id == operator_id]
    network, view, why = _ask(where.api(attempts=1) if where.has_backend else None, operator_id)
    return NodeStatus(
        account=read_account(chain, operator_id), penalty_multiple=chain.deployment.constants.penalty_multiple,
        cases=[read_accusation(chain, case.opened) for case in cases], network=network, view=view, backend_error=why,
        beat=last_beat(where.home / PULSE), is_running=is_running(where.home), hot_key=where.node,
        hot_key_wei=balance_wei(chain, where.node), appeal_wei=appeal_wei(chain), undelivered=len(journal.pending()),
        unrooted=len(journal.unrooted()), rooted=len(journal.rooted()),
        refused=[f"{answer.order_id}: {answer.refusal}" for answer in journal.refused()],
        given_up=journal.given_up(_MOST_GIVEN_UP), overdue_order=_overdue_order(chain, journal, view),
        read_at_s=int(time.time()),
    )  # fmt: skip


def limits(found: NodeStatus) -> list[str]:
    """Obstacles to earning more now, the worst first."""
    return [*_node_limits(found), *_stake_limits(found), *_native_limits(found), *_demand_limits(found)]


def _node_limits(found: NodeStatus) -> list[str]:
    told = []
    if found.view is not None and found.view.suspended:
        told.append("the court found this operator guilty: it is lent no jobs; `assay node explain` tells why")
    if found.backend_error is not None:
        told.append(f"the backend cannot be asked: {found.backend_error}")
    if not found.is_running:
        told.append("no node runs from this home: start `assay node run`")
    elif found.beat is None or found.read_at_s - found.beat.at_s > _SILENT_AFTER_S:
        told.append("the running node has been silent for over a minute: it is loading a model or hangs; see its log")
    elif found.beat.state not in _QUIET_STATES:
        told.append(f"the node says {found.beat.state}: {found.beat.detail}")
    return told


def _stake_limits(found: NodeStatus) -> list[str]:
    stake, free, cheapest = found.account.stake_units, found.free_units, found.cheapest_job_units
    told = []
    if stake == 0:
        most = "" if found.network is None else f" of at most {found.network.newcomer_price} units"
        told.append(f"no stake: one job at a time{most}, each checked before it is paid; `assay node stake` adds some")
    elif free is not None and cheapest is not None and free < cheapest:
        told.append(
            f"the stake is full: {stake} units cover {stake // found.penalty_multiple} units of open jobs; wait until "
            "they settle, or add with `assay node stake` or `assay node claim --to-stake`"
        )
    if found.open_cases:
        told.append(f"{len(found.open_cases)} open cases ask for {found.account.locked_units} units of the stake")
        if found.hot_key_wei < found.appeal_wei:
            short = ether(found.appeal_wei - found.hot_key_wei)
            told.append(f"the hot key {found.hot_key} cannot pay for an appeal: send it {short} ether")
    return told


def _native_limits(found: NodeStatus) -> list[str]:
    if found.view is None:
        return []
    told, native = [], found.view.native
    recent = f"{native.suspect} of the last {min(native.checks, WATCH_CHECKS)} checks were suspect"
    if native.state is State.WITHHELD:
        told.append(
            f"no native jobs are lent: to verifiers of other classes the work looks like another model's ({recent}). "
            "It costs no stake, no pay and no exact work. `assay node explain JOB` tells whose class differed, "
            "`assay verify --job JOB` whether another host computes the same answer"
        )
    elif native.state is State.WATCH:
        ends = f"for {native.watch_left} more checks, and until" if native.watch_left else "until"
        told.append(
            f"native work is on watch: at least {native.least_rate_ppm / 10_000:g} % of it is checked {ends} "
            f"checks have lifted the suspicion ({recent}); `assay node explain JOB` tells what a verifier saw"
        )
    if native.overdue_trace is not None:
        way_out = "this home has no such answer; run the node from the home that computed it"
        if found.overdue_order is not None:
            way_out = f"a running node shows it; `assay node explain {found.overdue_order}` tells why it has not"
        until = f"until the trace of commitment {native.overdue_trace} is shown, or UNBOND has passed"
        told.append(f"no native jobs are lent {until}: {way_out}")
    return told


def _demand_limits(found: NodeStatus) -> list[str]:
    if found.network is not None and not found.network.price_sheet:
        return ["the backend offers no workload"]
    if found.is_running and found.beat is not None and found.beat.state == "no_job":
        return ["no job is waiting that this node may take: demand is the limit"]
    return []


def _overdue_order(chain: Chain, journal: NodeJournal, view: NodeView | None) -> str | None:
    if view is None or view.native.overdue_trace is None:
        return None
    digest, domain = from_hex(view.native.overdue_trace), chain.deployment.domain
    known = (answer for answer in journal.rooted() if domain.commitment_digest(answer.commitment) == digest)
    return next((answer.order_id for answer in known), None)


def _ask(api: BackendApi | None, operator_id: int) -> tuple[NetworkInfo | None, NodeView | None, str | None]:
    if api is None:
        return None, None, "no backend is known; run `assay node init --backend URL`"
    try:
        network = api.network()
        return network, next((view for view in api.nodes() if view.operator_id == operator_id), None), None
    except CallFailed as error:
        return None, None, str(error)
