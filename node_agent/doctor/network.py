"""Checks the chain, the backend, and this host's clock against both."""

import time

from node_agent.app import require_same_deployment
from node_agent.doctor.findings import DoctorFinding, Limits, fail, ok, tried, warn
from node_agent.where import NodePlace

_SET_CLOCK = "Set this host's clock and keep it set, e.g. `timedatectl set-ntp true`."


def look_at_network(where: NodePlace, limits: Limits) -> list[DoctorFinding]:
    return [
        *tried("rpc", lambda: _rpc(where, limits)),
        *tried("backend", lambda: _backend(where)),
        *tried("clock", lambda: _clock(where, limits)),
    ]


def _rpc(where: NodePlace, limits: Limits) -> list[DoctorFinding]:
    chain = where.chain
    head = chain.head()
    age_s = int(time.time()) - head.timestamp
    if age_s > limits.head_age_s:
        fix = "The endpoint lags, or the chain has stopped: give another --rpc; check the clock too."
        return [fail("rpc", f"its newest block {head.number} is {age_s} s old; the limit is {limits.head_age_s}.", fix)]
    return [
        ok("rpc", f"chain {chain.deployment.chain_id}, block {head.number}, {max(0, age_s)} s old"),
        ok("contracts", f"all deployed; escrow {chain.deployment.escrow}"),
    ]


def _backend(where: NodePlace) -> list[DoctorFinding]:
    api = where.api(attempts=1)
    network = api.network()
    require_same_deployment(network, where.deployment, api.base_url)
    offered = ", ".join(entry.model for entry in network.price_sheet) or "nothing"
    return [ok("backend", f"{api.base_url}, on the same contracts; offers {offered}")]


def _clock(where: NodePlace, limits: Limits) -> list[DoctorFinding]:
    behind_head_s = where.chain.head().timestamp - int(time.time())
    if behind_head_s > limits.skew_s // 4:
        return [fail("clock", f"this clock is {behind_head_s} s behind the chain's newest block.", _SET_CLOCK)]
    ahead_s = where.api(attempts=1).clock_ahead_s() if where.has_backend else None
    if ahead_s is None:
        return [warn("clock", "not behind the chain's; no backend to compare with.", "Run again with a backend.")]
    says = f"the backend's clock is {ahead_s:+.0f} s from this one"
    if abs(ahead_s) > limits.skew_s:
        return [fail("clock", f"{says}; beyond {limits.skew_s} s every request is refused.", _SET_CLOCK)]
    if abs(ahead_s) > limits.skew_warn_s:
        return [warn("clock", f"{says}.", _SET_CLOCK)]
    return [ok("clock", says)]
