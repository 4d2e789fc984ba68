"""How fast a machine is, by a run that was timed: true numbers, or an end within half a minute."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from contracts.protocol.manifest import IntegerRange
from contracts.protocol.packed import pack
from deploy.localnet import measuring
from deploy.localnet.measuring import NotMeasured, look, measure, timed
from deploy.localnet.planning import MachineTooSlow
from deploy.localnet.processes import environment
from node_agent.execution.engine import Execution, Speed
from tests.world.node_fakes import EchoEngine, fake_manifest


class Paced(EchoEngine):
    """Reads 40 tokens at 20 a second and writes 5 a second, by a clock of its own; the first run takes longer."""

    def __init__(self, speed: Speed | None = None, write_s: float = 0.2, warm_up_s: float = 0.0) -> None:
        super().__init__(speed=speed)
        self.now, self._write_s, self._warm_up_s = 0.0, write_s, warm_up_s

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Lets its clock run."""
        wanted = params.get("max_new_tokens", 0)
        self.now += 40 / 20 * self._write_s / 0.2 + wanted * self._write_s + self._warm_up_s
        self._warm_up_s = 0.0
        return Execution(pack([]), bytes(32), wanted)


def test_reading_and_writing_are_told_apart() -> None:
    """Protects the plan: what a token of an answer takes is not mixed with what a prompt takes."""
    engine = Paced()
    found = timed(engine, fake_manifest(), [5] * 40, lambda: engine.now)
    assert found.write_per_s == pytest.approx(5.0)
    assert found.read_per_s == pytest.approx(40 / 2.2), "a token of the answer is in it: never too fast"


def test_a_fast_first_run_is_done_again() -> None:
    """Protects a fast machine from being judged by its first, cold run."""
    engine = Paced(write_s=0.002, warm_up_s=0.5)
    found = timed(engine, fake_manifest(), [5] * 40, lambda: engine.now)
    assert found.read_per_s == pytest.approx(40 / 0.022)


def test_an_engine_that_measured_itself_is_believed() -> None:
    """Protects the seconds: nothing is run twice."""
    speed, engine = Speed("AVX2 kernels, 1 thread", 300.0, 30.0), Paced(Speed("AVX2 kernels, 1 thread", 300.0, 30.0))
    assert timed(engine, fake_manifest(), [5] * 40, lambda: engine.now) == speed
    assert engine.now == 0.0


def test_what_writes_nothing_has_one_speed() -> None:
    """Protects embeddings: their parameters hold no number of new tokens."""
    manifest = fake_manifest().model_copy(update={"params": {"seed": IntegerRange(minimum=0, maximum=9, default=3)}})
    engine = Paced()
    found = timed(engine, manifest, [5] * 40, lambda: engine.now)
    assert found.read_per_s == found.write_per_s == pytest.approx(20.0)


def program(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """What is run in the place of the real measurement."""
    monkeypatch.setattr(measuring, "_PROGRAM", [sys.executable, "-c", f"import sys, time\n{code}"])


def said(kind: str) -> str:
    line = f'{{"kind": "{kind}", "way": "a way", "read_per_s": 300.0, "write_per_s": 30.0}}'
    return f"sys.stdout.write('{line}\\n'); sys.stdout.flush()\n"


def test_a_machine_that_does_not_get_through_is_told_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects whoever waits: after the time that is given the program is ended, and the rate that it is below is
    told."""
    program(monkeypatch, said("embedding") + "time.sleep(60)")
    start = time.monotonic()
    with pytest.raises(MachineTooSlow, match=r"one prompt of generation .* less than 8\.0 tokens/s"):
        measure(tmp_path, 1, within_s=1.0)
    assert time.monotonic() - start < 10
    assert measuring.MEASURED_WITHIN_S <= 25, "half a minute with the start of Python"


def test_an_engine_that_dies_is_not_called_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects operators from a wrong cause."""
    program(monkeypatch, said("embedding") + "sys.exit(3)")
    with pytest.raises(NotMeasured, match=r"generation does not run here \(exit status 3"):
        measure(tmp_path, 1, within_s=20.0)


def test_both_kinds_and_the_others_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the plan's input: both speeds, the cores, and what others use of them, within what there is."""
    program(monkeypatch, said("embedding") + said("generation"))
    speeds, machine = look(tmp_path, 1)
    assert speeds.generation == speeds.embedding == Speed("a way", 300.0, 30.0)
    assert machine.cores == measuring.usable_cores() >= 1
    assert 0.0 <= machine.others <= machine.cores


def test_what_the_measurement_uses_itself_is_nobody_elses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects an idle machine from being called busy: the child's own seconds are taken off."""
    program(monkeypatch, said("embedding") + said("generation"))
    readings = iter([(100.0, 10.0), (106.0, 14.0)])
    monkeypatch.setattr(measuring, "busy_cores", lambda: next(readings))
    clock = iter([0.0, 2.0])
    _, machine = look(tmp_path, 1, clock=lambda: next(clock))
    assert machine.others == pytest.approx(1.0)


def test_the_threads_are_those_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the plan from a speed that no node has: the measurement gets the environment that the programs get, with
    the kernels that this program is held to, and nothing else of its settings."""
    monkeypatch.setenv("ASSAY_KERNELS", "avx2")
    monkeypatch.setenv("ASSAY_PASSWORD", "secret")
    monkeypatch.delenv("ASSAY_THREADS", raising=False)
    assert "ASSAY_THREADS" not in environment(None)
    told = environment(None, 1)
    assert (told["ASSAY_THREADS"], told["ASSAY_KERNELS"], told.get("ASSAY_PASSWORD")) == ("1", "avx2", None)
    code = (
        "import json, os\n"
        "way = os.environ['ASSAY_THREADS'] + ' ' + os.environ['ASSAY_KERNELS']\n"
        "for kind in ('embedding', 'generation'):\n"
        "    said = dict(kind=kind, way=way, read_per_s=3.0, write_per_s=3.0)\n"
        "    sys.stdout.write(json.dumps(said) + chr(10))\n"
    )
    program(monkeypatch, code)
    assert measure(tmp_path, 1, within_s=20.0).generation.way == "1 avx2"
