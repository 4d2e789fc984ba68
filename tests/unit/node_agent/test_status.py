"""What limits an operator's earnings, and how much to fund, in words that are true."""

import io
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from contracts.onchain.chain import Chain
from contracts.protocol.constants import DEVELOPMENT
from contracts.protocol.native.standing import State
from contracts.protocol.wire import NativeStanding, NetworkInfo, NodeView, PriceSheetEntry
from node_agent.cli import show
from node_agent.errors import EngineFailed
from node_agent.session.court import Accusation
from node_agent.session.earnings import Account
from node_agent.session.gas import ether
from node_agent.session.pulse import LastBeat, Pulse, last_beat
from node_agent.session.registration import proposed_stake_units
from node_agent.status import NodeStatus, limits

ADDRESS, ID = "0x" + "11" * 20, "0x" + "22" * 32
ENTRY = PriceSheetEntry(
    workload_id=ID,
    kind="generation",
    model="m",
    fixed_price=100,
    unit_price=10,
    max_units=8,
    unit="token",
    most_new_tokens=8,
    serving=1,
)
NETWORK = NetworkInfo(
    chain_id=1, escrow=ADDRESS, stake_manager=ADDRESS, court=ADDRESS, contests=ADDRESS, token=ADDRESS, settler=ADDRESS,
    treasury=ADDRESS, treasury_signer=ADDRESS, first_block=0, constants=DEVELOPMENT, price_sheet=[ENTRY],
    newcomer_price=500,
)  # fmt: skip
CLEAR = NativeStanding(
    state=State.CLEAR, least_rate_ppm=0, reputation_ppm=10**6, checks=70, suspect=0, watch_left=0, overdue_trace=None
)
VIEW = NodeView(
    operator_id=1, nodes=[], stake=1000, locked=0, earned=0, claimed=0, open_max=0, delivered_jobs=3, checked_jobs=1,
    slashed=0, suspended=False, native=CLEAR,
)  # fmt: skip
WELL = NodeStatus(
    account=Account(1, ADDRESS, ADDRESS, 1000, 0, 0, 0, 0), penalty_multiple=9, cases=[], network=NETWORK, view=VIEW,
    backend_error=None, beat=LastBeat(990, 1, "working", ID, 3), is_running=True, hot_key=ADDRESS, hot_key_wei=10,
    appeal_wei=10, undelivered=0, unrooted=0, rooted=3, read_at_s=1000,
)  # fmt: skip
CASE = Accusation(b"\1" * 32, (), 4, 2, b"\2" * 32, 500, 1100, 1200, False, False, "open")


def test_nothing_limits_a_node_at_work() -> None:
    """No cause is made up where there is none."""
    assert limits(WELL) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"is_running": False}, "no node runs from this home"),
        ({"beat": None}, "silent for over a minute"),
        ({"beat": LastBeat(900, 1, "working", ID, 3)}, "silent for over a minute"),
        ({"beat": LastBeat(999, 1, "stake_too_low", "add stake", 0)}, "the node says stake_too_low: add stake"),
        ({"beat": LastBeat(999, 1, "no_job", "", 0)}, "demand is the limit"),
        ({"view": VIEW.model_copy(update={"suspended": True})}, "found this operator guilty"),
        ({"view": VIEW.model_copy(update={"open_max": 2})}, "the stake is full: 1000 units cover 111"),
        ({"account": Account(1, ADDRESS, ADDRESS, 0, 0, 0, 0, 0)}, "no stake: one job at a time of at most 500 units"),
        ({"network": None, "view": None, "backend_error": "no answer"}, "the backend cannot be asked: no answer"),
        ({"network": NETWORK.model_copy(update={"price_sheet": []})}, "the backend offers no workload"),
        ({"cases": [CASE]}, "1 open cases ask for"),
        ({"cases": [CASE], "hot_key_wei": 9}, "cannot pay for an appeal"),
    ],
)
def test_each_limit_is_named(changes: dict[str, object], told: str) -> None:
    """Zero pay has a true cause, and the way out."""
    assert any(told in limit for limit in limits(replace(WELL, **changes)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("native", "told"),
    [
        (
            {"state": State.WATCH, "least_rate_ppm": 500_000, "suspect": 1, "watch_left": 40},
            ["at least 50 % of it is checked for 40 more checks, and until", "1 of the last 64 checks were suspect"],
        ),
        ({"state": State.WATCH, "least_rate_ppm": 500_000, "checks": 3}, ["checked until checks", "0 of the last 3"]),
        (
            {"state": State.WITHHELD, "least_rate_ppm": 10**6, "reputation_ppm": 0, "checks": 9, "suspect": 6},
            ["no native jobs are lent", "6 of the last 9 checks", "costs no stake", "`assay verify --job JOB`"],
        ),
        ({"overdue_trace": "0x" + "33" * 32}, ["the trace of commitment 0x33", "`assay node explain 0x22"]),
    ],
)
def test_what_native_work_limits(native: dict[str, object], told: list[str]) -> None:
    """Protects operators: who is watched, or lent no native work, is told why, until when and what to do about it."""
    view = VIEW.model_copy(update={"native": CLEAR.model_copy(update=native)})
    (limit,) = limits(replace(WELL, view=view, overdue_order=ID))
    for words in told:
        assert words in limit


def test_an_overdue_trace_of_another_home() -> None:
    """Protects operators with several homes: only the one that computed an answer has its trace."""
    view = VIEW.model_copy(update={"native": CLEAR.model_copy(update={"overdue_trace": ID})})
    (limit,) = limits(replace(WELL, view=view))
    assert "run the node from the home that computed it" in limit


def test_a_case_in_words() -> None:
    """Deadlines as seconds that are left, and what an appeal changes."""
    assert "answers are taken for 60 s more; NOT appealed" in CASE.in_words(1040)
    assert "answers are opened for 50 s more" in CASE.in_words(1150)
    assert "only a majority" in replace(CASE, appealed=True).in_words(1040)
    assert "dismissed, closed" in replace(CASE, executed=True, ruling="dismissed").in_words(2000)


def test_amounts_to_fund_are_never_too_small() -> None:
    """Four digits, rounded up: who sends what is printed has sent enough."""
    assert (ether(0), ether(1), ether(10**18)) == ("0", "0.000000000000000001", "1")
    assert ether(1_234_567_890_123_456) == "0.001235"
    assert proposed_stake_units([ENTRY], 9) == 10 * 9 * 180
    assert proposed_stake_units([], 9) == 0


def test_a_pulse_is_read_back(tmp_path: Path) -> None:
    """What a running node did last; a file that is no pulse is none."""
    path = tmp_path / "pulse.json"
    assert last_beat(path) is None
    pulse = Pulse(path, ["m: AVX2 kernels: reads 80 tokens/s, writes 20 tokens/s"])
    pulse("delivered")
    pulse(EngineFailed.code, "The process that runs jobs hung.")
    pulse("no_job", "")
    found = last_beat(path)
    assert found is not None
    assert (found.state, found.served, found.failed) == ("no_job", 1, 1)
    assert list(found.speeds) == ["m: AVX2 kernels: reads 80 tokens/s, writes 20 tokens/s"]
    path.write_text("{")
    assert last_beat(path) is None


def test_status_shows_the_speed_and_what_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators see how fast their host is, and why it did not do what it was lent."""
    printed = io.StringIO()
    monkeypatch.setattr(show, "console", Console(file=printed, width=200))
    monkeypatch.setattr(show, "show_account", lambda chain, account: None)
    monkeypatch.setattr(show, "tokens_of", lambda chain, units: str(units))
    words = f"{ID}: This host does 5 tokens/s, the order leaves 20 s."
    beat = LastBeat(990, 1, "no_job", "", 3, 2, ("m: AVX2 kernels: writes 5 tokens/s",))
    show.show_status(cast(Chain, None), replace(WELL, beat=beat, given_up=[words]))
    assert "speed                      m: AVX2 kernels: writes 5 tokens/s" in printed.getvalue()
    assert f"given up: {words}" in printed.getvalue()
    assert "jobs failed since it began 2" in " ".join(printed.getvalue().split())
