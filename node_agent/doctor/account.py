"""Keys, registration, stake, gas for appeals, cases, journal."""

import os
import stat
import time
from pathlib import Path

from contracts.onchain.keystore import load_key
from node_agent.doctor.findings import DoctorFinding, fail, ok, tried, warn
from node_agent.home import NODE_KEY
from node_agent.session.gas import ether
from node_agent.status import NodeStatus, read_status
from node_agent.where import NodePlace, tokens_of


def look_at_account(where: NodePlace) -> list[DoctorFinding]:
    return [
        *tried("node key", lambda: _node_key(where.home / NODE_KEY)),
        *tried("owner key", lambda: _owner_key(where)),
        *tried("registration", lambda: _account(where)),
    ]


def _node_key(path: Path) -> list[DoctorFinding]:
    if not path.exists():
        return [fail("node key", f"there is none at {path}.", "Run `assay node init`.")]
    if (found := _readable_by_others("node key", path)) is not None:
        return [found]
    password = os.environ.get("ASSAY_PASSWORD")
    if not password:
        return [warn("node key", f"{path} was not opened: ASSAY_PASSWORD is not set.", "Set it; the node needs it.")]
    return [ok("node key", f"{load_key(path, password).address} opens; nobody else can read {path}")]


def _owner_key(where: NodePlace) -> list[DoctorFinding]:
    path = where.owner_key
    if not path.exists():
        return [ok("owner key", "not on this machine; serving does not need it, only stake, claim and settle do")]
    return [_readable_by_others("owner key", path) or ok("owner key", f"nobody else can read {path}")]


def _readable_by_others(name: str, path: Path) -> DoctorFinding | None:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return fail(name, f"{path} has mode {mode:04o}: others can read or change it.", f"chmod 600 {path}")
    return None


def _account(where: NodePlace) -> list[DoctorFinding]:
    found = read_status(where)
    says = f"operator {found.account.operator_id}, paid to {found.account.payout}"
    lines = [ok("registration", says), _stake(where, found), _gas(found), _cases(found)]
    if found.view is not None and found.view.suspended:
        fix = "It gets no more jobs here. `assay node status` shows the case; its file is on chain."
        lines.append(fail("standing", "the court found this operator guilty.", fix))
    return lines


def _stake(where: NodePlace, found: NodeStatus) -> DoctorFinding:
    stake, cheapest = found.account.stake_units, found.cheapest_job_units
    says = tokens_of(where.chain, stake)
    if stake == 0:
        means = "One job at a time, each checked before it is paid. `assay node stake TOKENS` adds stake."
        return warn("stake", "none.", means)
    if cheapest is not None and stake < found.penalty_multiple * cheapest:
        least = tokens_of(where.chain, found.penalty_multiple * cheapest)
        fix = f"Bring it to at least {least} with `assay node stake`: a smaller stake gets no jobs."
        return fail("stake", f"{says} do not cover even the cheapest job.", fix)
    return ok("stake", f"{says}, of which {tokens_of(where.chain, found.account.locked_units)} are locked")


def _gas(found: NodeStatus) -> DoctorFinding:
    says = f"the hot key {found.hot_key} holds {ether(found.hot_key_wei)} ether"
    if found.hot_key_wei < found.appeal_wei:
        fix = f"Send it {ether(found.appeal_wei - found.hot_key_wei)} ether, so that it can appeal a false accusation."
        return warn("gas for appeals", f"{says}, an appeal costs {ether(found.appeal_wei)}.", fix)
    return ok("gas for appeals", f"{says}, enough for {found.hot_key_wei // found.appeal_wei} appeals")


def _cases(found: NodeStatus) -> DoctorFinding:
    if not found.open_cases:
        return ok("cases", "none is open")
    words = "; ".join(case.in_words(int(time.time())) for case in found.open_cases)
    return warn("cases", words, "A running node appeals by itself; see its log.")
