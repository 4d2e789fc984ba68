"""What a host was measured to do is kept as long as it says something of that host, and no longer."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node_agent.execution.engine import Speed
from node_agent.execution.exact import kernels, ways
from node_agent.execution.sandbox import speeds
from node_agent.execution.sandbox.speeds import NAME, Speeds

FAST, MODEL, OTHER = Speed("a way", 300.0, 40.0), "11" * 32, "22" * 32


def test_what_was_measured_is_kept(tmp_path: Path) -> None:
    """Of each model and device by itself, for every process of the host; what changed is written over."""
    Speeds(tmp_path).keep("cpu", MODEL, FAST)
    Speeds(tmp_path).keep("cuda", MODEL, replace(FAST, way="torch"))
    assert Speeds(tmp_path).known("cpu", MODEL) == FAST
    assert Speeds(tmp_path).known("cuda", MODEL) == replace(FAST, way="torch")
    assert Speeds(tmp_path).known("cpu", OTHER) is None
    Speeds(tmp_path).keep("cpu", MODEL, replace(FAST, write_per_s=50.0))
    assert Speeds(tmp_path).known("cpu", MODEL) == replace(FAST, write_per_s=50.0)
    Speeds(tmp_path).forget()
    assert Speeds(tmp_path).known("cpu", MODEL) is None


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (speeds, "cpu_facts", lambda: {"model name": "another"}),
        (kernels, "cpu_flags", lambda: frozenset({"avx2"})),
        (kernels, "usable_threads", lambda: 99),
        (kernels, "library", lambda name: Path(__file__)),
    ],
)
def test_another_host_or_version_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, value: Any
) -> None:
    """Another CPU, other threads, other kernels: a home that moved must not promise the old host's speed."""
    Speeds(tmp_path).keep("cpu", MODEL, FAST)
    monkeypatch.setattr(where, name, value)
    assert Speeds(tmp_path).known("cpu", MODEL) is None


def test_what_another_release_kept(tmp_path: Path) -> None:
    """Fields that this release does not know, or lacks: measured again, and no end of the program."""
    Speeds(tmp_path).keep("cpu", MODEL, FAST)
    kept = json.loads((tmp_path / NAME).read_text())
    for fields in ({"way": "a way"}, {**next(iter(kept.values())), "more": 1}, 7):
        (tmp_path / NAME).write_text(json.dumps(dict.fromkeys(kept, fields)))
        assert Speeds(tmp_path).known("cpu", MODEL) is None


def test_a_file_that_was_cut_off(tmp_path: Path) -> None:
    """Measured again."""
    Speeds(tmp_path).keep("cpu", MODEL, FAST)
    (tmp_path / NAME).write_text((tmp_path / NAME).read_text()[:40])
    assert Speeds(tmp_path).known("cpu", MODEL) is None


def test_a_store_that_cannot_be_written_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The node serves, and its log says what that costs."""
    with caplog.at_level(logging.WARNING):
        Speeds(tmp_path / "nowhere").keep("cpu", MODEL, FAST)
    assert "every start measures it again" in caplog.text


class Timed:
    """A model that takes so long."""

    def __init__(self, way: Any) -> None:
        self.seconds = {"slow": 3.0, "fast": 1.0, "middling": 2.0}[way.name]


class Way:
    def __init__(self, name: str) -> None:
        self.name = name


def chosen(names: list[str], monkeypatch: pytest.MonkeyPatch, known: Speed | None = None) -> tuple[str, list[str]]:
    """The way that is taken of some, and those that were measured."""
    measured: list[str] = []

    def measure(model: Timed, way: str, patience_s: float) -> Speed:
        measured.append(way)
        return Speed(way, 64 / model.seconds, 64 / model.seconds)

    monkeypatch.setattr(ways, "sound", lambda device: ways.Sound(tuple(map(Way, names)), {}))  # type: ignore[arg-type]
    return ways.fastest("cpu", Timed, measure, (64, 64), known)[1].way, measured


@pytest.mark.parametrize(
    "names", [["slow", "fast", "middling"], ["fast", "slow", "middling"], ["middling", "slow", "fast"]]
)
def test_the_fastest_sound_way_is_taken(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the order in which they are tried: no instruction set is preferred by name."""
    assert chosen(names, monkeypatch) == ("fast", names)


def test_what_is_known_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that is kept and still sound is taken at once; one that is not sound any more is not."""
    kept = Speed("middling", 1.0, 1.0)
    assert chosen(["slow", "middling"], monkeypatch, kept) == ("middling", [])
    assert chosen(["slow", "fast"], monkeypatch, kept) == ("fast", ["slow", "fast"])
