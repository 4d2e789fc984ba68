"""An operator's first ten minutes, literally: init, fund, init, run, canary, explain, claim; and lies to it."""

import json
import re
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from eth_utils.address import to_checksum_address

from contracts.onchain.keystore import load_key
from contracts.protocol.signing import Signer
from contracts.record.log_source import HttpLog
from node_agent.app import NodeSettings
from node_agent.canary import request_canary, serve_until_delivered
from node_agent.cli import node_app
from node_agent.home import is_running, load_settings
from node_agent.session.backend_api import BackendApi
from tests.integration.node_agent.operator_world import (
    CONSTANTS,
    FIXED,
    PASSWORD,
    UNIT,
    WORKLOAD,
    World,
    bent,
    command,
    fund_what_it_says,
    running_node,
)
from tests.world.node_fakes import EchoEngine
from verifier.audit.audit import audit

GROSS = FIXED + UNIT
CREDIT = GROSS - GROSS * CONSTANTS.fee_bps // 10_000


@pytest.mark.chain
def test_first_ten_minutes(found: World, home: Path) -> None:
    """From nothing but two URLs to a credit on chain: what to fund is said to the last digit, init goes on where it
    stopped, the canary travels the whole way like any order, its payment is recomputed, and fills the stake."""
    asked = command("init", "--backend", found.url, "--rpc", found.rpc, code=1)
    assert "not_funded" in asked
    owner = fund_what_it_says(found, asked)
    joined = command("init")
    assert "next: `assay node doctor`" in joined
    operator_id = int(found.chain.stakes.functions.operatorIdOf(to_checksum_address(owner)).call())
    sent = found.chain.w3.eth.get_transaction_count(to_checksum_address(owner))
    command("init")
    assert found.chain.w3.eth.get_transaction_count(to_checksum_address(owner)) == sent, "joining again sends nothing"
    assert found.chain.stakes.functions.operators(operator_id).call().stakeUnits == 10 * (FIXED + 8 * UNIT)
    assert "no node runs from this home" in command("status")

    with running_node(found, home):
        followed = command("canary", "--workload", WORKLOAD)
        stages = ("queued", "leased", "delivered", "rooted", "revealed", "sampled", "settled", "credited", "paid:")
        places = [followed.index(stage) for stage in stages]
        assert places == sorted(places), followed
        assert found.earned(operator_id) == CREDIT
        assert "demand is the limit" in command("status")
        again = command("canary", "--workload", WORKLOAD)
        assert "already had its canary job" in again
        assert found.earned(operator_id) == CREDIT, "one canary an operator"

    order_id = re.search(r"queued +(0x\w{64})", followed)[1]  # type: ignore[index]
    explained = json.loads(command("explain", order_id, "--json"))
    assert (explained["outcome"], explained["credited_units"], explained["lies"]) == ("paid", CREDIT, [])
    assert explained["sampled"] is ("not sampled" not in followed)
    assert f"min({GROSS}, {FIXED} + 1 * {UNIT}) = {GROSS} units" in command("explain", order_id[:12])
    _an_auditor_sees_nothing_special(found)

    before = found.chain.stakes.functions.operators(operator_id).call().stakeUnits
    assert "claimed 0.0027 tokens to the stake" in command("claim", "--to-stake")
    assert found.chain.stakes.functions.operators(operator_id).call().stakeUnits == before + CREDIT
    assert json.loads(command("earnings", "--json"))["claimable_units"] == 0
    _lies_are_named(found, order_id)


def _an_auditor_sees_nothing_special(found: World) -> None:
    with httpx.Client() as client:
        source = HttpLog(f"{found.url}/v1/log")
        source._client = client  # so that it is closed
        report = audit(found.chain, source)
    assert report.faults == [], "to an auditor it is an order like any other"


def _lies_are_named(found: World, order_id: str) -> None:
    """Whatever the backend changes of a paid job is named, and the explanation stays the chain's."""
    stranger = Signer(b"\1" * 32).address
    for change, named in (
        ({"state": "void"}, "the backend calls the order void, on chain it is paid"),
        ({"amount_units": 7}, f"the backend says 7 units, signed terms and units give {GROSS}"),
        ({"commitment": {"node": stranger}}, "the backend shows a commitment of"),
    ):

        def bend(path: str, answer: httpx.Response, change: dict[str, object] = change) -> tuple[bytes, dict[str, str]]:
            if not path.startswith("/v1/orders/"):
                return answer.content, {}
            told = answer.json()
            for name, value in change.items():
                told[name] = {**told[name], **value} if isinstance(value, dict) else value
            return json.dumps(told).encode(), {}

        with bent(found.url, bend) as url:
            told = json.loads(command("explain", order_id, "--json", "--backend", url, code=1))
        assert any(named in lie for lie in told["lies"]), told
        assert told["outcome"] == "paid"

    def forge(path: str, answer: httpx.Response) -> tuple[bytes, dict[str, str]]:
        forged = answer.content.replace(b'"amount_units":', b'"amount_units":1', 1)
        return (forged if "/log/epochs/" in path else answer.content), {}

    with bent(found.url, forge) as url:
        told = json.loads(command("explain", order_id, "--json", "--backend", url, code=1))
    assert any("was changed after it was posted" in lie for lie in told["lies"]), told


@pytest.mark.chain
def test_canary_does_the_work_itself(found: World, home: Path) -> None:
    """Without a running node the command is the node for as long as it takes; then it stops serving."""
    command("init", "--backend", found.url, "--rpc", found.rpc, "--stake", "0", code=1)
    fund_what_it_says(found, command("init", code=1))
    command("init")
    settings = load_settings(home)
    assert settings is not None
    assert settings.stake == "0"
    node = NodeSettings(home, found.rpc, found.deployment, found.url, (), PASSWORD, poll_s=0.2)
    signer = load_key(home / "node.json", PASSWORD)
    with closing(BackendApi(found.url)) as api:
        view = request_canary(api, signer, found.deployment.domain, WORKLOAD)
    serve_until_delivered(node, view.order_id, lambda manifest: EchoEngine(), timeout_s=60)
    assert not is_running(home)
    assert "paid:" in command("canary", "--workload", WORKLOAD)


def test_settings_are_asked_for_by_name(home: Path) -> None:
    """A command in an empty home says which option is missing and how to never give it again."""
    assert "--rpc URL is not known" in command("status", code=1)
    assert "init --backend URL --rpc URL" in command("status", code=1)
    assert "No chain is known" in command("init", code=1)
    assert node_app.registered_commands
