"""The kernels load what the CPU can run, compute the same on any number of threads, and need no torch."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.exact import golden, kernels
from node_agent.execution.exact.arithmetic import ACTIVATION_MAX
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.llama.reference import Reference
from node_agent.execution.exact.port import Reading
from node_agent.execution.exact.ways import KernelWay, require_sound_kernels, sound
from tests.world.soak import short_or_long

_GOLDEN = (
    "import sys; from node_agent.execution.exact import golden, ways\n"
    "for way in ways.sound('cpu').ways:\n"
    "    llama, encoder = way.llama(golden.golden_parameters()), way.encoder(golden.golden_encoder())\n"
    "    logits = [golden.golden_hash(llama, chunk) for chunk in (24, 1)]\n"
    "    print(way.name, *logits, golden.golden_vectors_hash(encoder))\n"
    "assert 'torch' not in sys.modules\n"
)


def run(script: str, **settings: str) -> list[list[str]]:
    """The words of each line that a process of its own prints."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | settings
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("threads", short_or_long([7], [1, 2, 3, 7]))
def test_threads_change_nothing(threads: int) -> None:
    """However many threads share the rows, heads and outputs, more than there are cores and items too."""
    lines = run(_GOLDEN, ASSAY_THREADS=str(threads))
    assert [line[0] for line in lines] == kernels.available()
    for line in lines:
        assert line[2] == str(threads)
        assert line[-3:] == [golden.GOLDEN_LOGITS, golden.GOLDEN_LOGITS, golden.GOLDEN_VECTORS]


def test_a_host_can_be_held_to_a_set() -> None:
    """`ASSAY_KERNELS` makes this CPU another one: a test on any machine sees what a plainer CPU computes with."""
    assert {line[0] for line in run(_GOLDEN, ASSAY_KERNELS="portable")} == {"portable"}


def test_threads_by_turns() -> None:
    """Models of one set with other numbers of threads, in turn: helpers that sit a piece out take part in a later."""
    found = {golden.golden_hash(KernelWay(kernels.loaded("portable", n)).llama(golden.golden_parameters()), 3)
             for _ in range(short_or_long(3, 8)) for n in (1, 3, 2, 5, 1, 4)}  # fmt: skip
    assert found == {golden.GOLDEN_LOGITS}


def test_one_thread_is_tried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside busy programs threads wait for each other, so what is fastest is not taken for granted."""
    monkeypatch.delenv("ASSAY_THREADS", raising=False)
    monkeypatch.setattr(kernels, "usable_threads", lambda: 8)
    assert kernels.thread_counts() == (8, 1)
    monkeypatch.setenv("ASSAY_THREADS", "8")
    assert kernels.thread_counts() == (8,)


@pytest.mark.parametrize(
    ("name", "value", "look"),
    [
        ("ASSAY_KERNELS", "mmx", kernels.available),
        ("ASSAY_THREADS", "0", kernels.usable_threads),
        ("ASSAY_THREADS", "two", kernels.usable_threads),
    ],
)
def test_settings_that_cannot_be_are_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, look: Callable[[], object]
) -> None:
    """Never another set, or another number, in silence."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SelfTestFailed, match=value):
        look()


def test_only_what_the_cpu_names_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instruction that the CPU lacks ends the process, so a set is never tried by running it."""
    monkeypatch.delenv("ASSAY_KERNELS", raising=False)
    monkeypatch.setattr(kernels, "cpu_flags", lambda: kernels.NEEDS["avx2"])
    monkeypatch.setattr(kernels.platform, "machine", lambda: "x86_64")
    assert kernels.available() == ["avx2", "portable"]
    monkeypatch.setattr(kernels, "cpu_flags", lambda: kernels.NEEDS["avx2"] - {"bmi2"})
    assert kernels.available() == ["portable"]


@pytest.mark.parametrize("flags", [set(), {"asimd", "asimddp", "sve"}, kernels.NEEDS["avx2"]])
def test_an_arm_loads_the_set_that_is_compiled_for_it(monkeypatch: pytest.MonkeyPatch, flags: set[str]) -> None:
    """Every ARM64 has NEON, and the portable set uses it there; whatever its flags, it loads no set of an x86's."""
    monkeypatch.delenv("ASSAY_KERNELS", raising=False)
    monkeypatch.setattr(kernels, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(kernels.platform, "machine", lambda: "aarch64")
    assert kernels.available() == ["portable"]


def test_a_set_that_was_not_built_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An installation without its libraries says so and how to mend it."""
    monkeypatch.setattr(kernels, "FOLDER", tmp_path)
    with pytest.raises(SelfTestFailed, match=r"kernels-portable.* was not built"):
        kernels.Kernels("portable", 1)


class Sloppy(kernels.Kernels):
    """Loses the last bit of large sums, as a saturating instruction would."""

    def products(self, q: np.ndarray, weight: np.ndarray) -> np.ndarray:
        exact = super().products(q, weight)
        return np.where(np.abs(exact) > 2**30, exact & ~1, exact)


@pytest.mark.parametrize("name", kernels.available())
@given(rows=st.integers(1, 140), inputs=st.integers(1, 2200), outputs=st.integers(1, 20), seed=st.integers(0, 2**32))
@example(rows=129, inputs=2049, outputs=7, seed=0)
def test_products_of_any_shape(name: str, rows: int, inputs: int, outputs: int, seed: int) -> None:
    """Rows, inputs and outputs that fill no tile, no block and no step: each product is counted once."""
    random = np.random.default_rng(seed)
    q = random.integers(-ACTIVATION_MAX, ACTIVATION_MAX + 1, (rows, inputs)).astype(np.int16)
    weight = random.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    wanted = q.astype(np.int64) @ weight.T.astype(np.int64)
    assert (kernels.loaded(name, 1).products(q, weight) == wanted).all()


def test_one_lost_bit_is_caught() -> None:
    """Wrong by one in the largest products only: the way is not sound, and says where."""
    with pytest.raises(SelfTestFailed, match="wrong entries"):
        require_sound_kernels(KernelWay(Sloppy("portable", 2)))


@pytest.mark.parametrize("what", ["LOGITS", "VECTORS"])
def test_wrong_numbers_are_caught(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Kernels whose products are right and one of whose models is not."""
    monkeypatch.setattr(f"node_agent.execution.exact.ways.GOLDEN_{what}", "f" * 64)
    with pytest.raises(SelfTestFailed, match=f"golden {what.lower()}"):
        require_sound_kernels(KernelWay(kernels.loaded("portable", 2)))


def test_no_sound_way_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which every set is wrong signs nothing."""
    monkeypatch.setattr(kernels, "loaded", lambda name, threads: Sloppy(name, 2))
    sound.cache_clear()
    with pytest.raises(SelfTestFailed, match="signs nothing"):
        sound("cpu")
    sound.cache_clear()


def test_a_full_cache_is_an_error(tiny: Parameters) -> None:
    """Nothing is written behind a text's past: the kernels trust the sizes that they are given."""
    model = KernelWay(kernels.loaded("portable", 2)).llama(tiny)
    cache = model.new_cache(3)
    model.read([Reading([1, 2, 3], cache, 0)])
    with pytest.raises(ValueError, match="holds 3, 1 are new"):
        model.read([Reading([4], cache, 1)])


def test_a_text_longer_than_the_tables_is_an_error(tiny: Parameters) -> None:
    """Nothing is read behind the tables of cosines and sines either, whatever room a cache has."""
    model = KernelWay(kernels.loaded("portable", 2)).llama(tiny)
    positions = tiny.config.positions
    model.read([Reading([1] * positions, model.new_cache(positions), 0)])
    with pytest.raises(ValueError, match=f"has {positions} positions, a text would have {positions + 1}"):
        model.read([Reading([1] * (positions + 1), model.new_cache(positions + 1), 0)])


def test_a_dropped_layer_is_another_model(tiny: Parameters) -> None:
    """`layers` is what runs, so that a test can cheat."""
    model = KernelWay(kernels.loaded("portable", 2)).llama(tiny)
    del model.layers[1]
    reference = Reference(tiny)
    rows = model.read([Reading([1, 2], model.new_cache(2), 2)])
    assert rows.tolist() != [reference.logits(token) for token in (1, 2)]
