"""The ways in which this host computes rightly, and the fastest of them: both are found by trying, at start.

A host uses only ways that give the known answers (`golden.py`). Sound ways differ in speed alone. The fastest one
differs by host, so it is measured on the model that will be served (`fastest`); no instruction set is preferred.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import numpy as np

from node_agent.execution.engine import Speed
from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.exact import golden
from node_agent.execution.exact import kernels as k
from node_agent.execution.exact.encoder.kernels import KernelEncoder
from node_agent.execution.exact.encoder.model_file import EncoderParameters
from node_agent.execution.exact.golden import GOLDEN_LOGITS, GOLDEN_TOKENS, GOLDEN_VECTORS, require
from node_agent.execution.exact.llama.kernels import KernelLlama
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.port import Way

M = TypeVar("M")

ROUNDS = 2
"""The fastest of this many rounds counts, because disturbances only make a round slower."""


@dataclass(frozen=True)
class KernelWay:
    """See `port.Way`: a compiled set and a number of threads."""

    kernels: k.Kernels

    @property
    def name(self) -> str:
        return self.kernels.way

    def llama(self, parameters: Parameters) -> KernelLlama:
        return KernelLlama(parameters, self.kernels)

    def encoder(self, parameters: EncoderParameters) -> KernelEncoder:
        return KernelEncoder(parameters, self.kernels)


@dataclass(frozen=True)
class Sound:
    """What the self-test found on a device.

    Attributes:
        ways: those that gave every known answer; their order does not matter.
        unsound: the others, each with what went wrong.
    """

    ways: tuple[Way, ...]
    unsound: Mapping[str, str]


@cache
def sound(device: str) -> Sound:
    """Tries every way of a device, once a process.

    Args:
        device: "cpu", or a GPU's name, for which torch is needed.

    Raises:
        SelfTestFailed: no way is sound, so this host may sign nothing.
        NumericClassMismatch: torch sees no such GPU.
    """
    if device == "cpu":
        made = [KernelWay(k.loaded(name, threads)) for threads in k.thread_counts() for name in k.available()]
        found = tried(made, require_sound_kernels)
    else:
        from node_agent.devices.gpu import resolve
        from node_agent.execution.exact.fused.ways import sound_ways

        found = sound_ways(str(resolve(device)))
    if not found.ways:
        raise SelfTestFailed(
            f"No way to multiply is exact on {device}: {dict(found.unsound)}.",
            way_out="Use an unmodified release of Assay and of torch. Until one passes, this host signs nothing.",
            check="products",
            expected="one sound way",
            found=found.unsound,
        )
    return found


W = TypeVar("W", bound=Way)


def tried(ways: Iterable[W], require_sound: Callable[[W], None]) -> Sound:
    """The ways that pass a test, which raises SelfTestFailed, and those that do not."""
    passed: list[Way] = []
    unsound: dict[str, str] = {}
    for way in ways:
        try:
            require_sound(way)
        except SelfTestFailed as error:
            unsound[way.name] = error.message
        except RuntimeError as error:  # torch has no such kernel on this device, or cannot capture it
            unsound[way.name] = str(error).splitlines()[0]
        else:
            passed.append(way)
    return Sound(tuple(passed), unsound)


def require_sound_kernels(way: KernelWay) -> None:
    """Raises SelfTestFailed where a set of kernels gets a number wrong; takes a fraction of a second."""
    name = way.name
    for inputs, outputs in golden.WORST_SHAPES:
        weight = golden.worst_weights(outputs, inputs)
        wide = weight.T.astype(np.int64)
        for kind, x in golden.worst_activations(5, inputs).items():
            for rows in (x, x[:1]):  # other tiles for one row
                wrong = int((way.kernels.products(rows.astype(np.int16), weight) != rows @ wide).sum())
                require(f"{name}: {len(rows)} x {inputs} x {outputs}, {kind} activations: wrong entries", 0, wrong)
    golden.require_square_roots(name, lambda squares: way.kernels.square_roots(np.array(squares, np.int64)).tolist())
    for reading, chunk in (("prefill", len(GOLDEN_TOKENS)), ("decode", 1), ("chunks of 5", 5)):
        hashed = golden.golden_hash(way.llama(golden.golden_parameters()), chunk)
        require(f"{name}: golden logits, {reading}", GOLDEN_LOGITS, hashed)
    for chunk in (len(GOLDEN_TOKENS), 1):
        hashed = golden.golden_hash(way.llama(golden.golden_family()), chunk)
        require(f"{name}: golden logits of families, {chunk} at once", golden.GOLDEN_FAMILY_LOGITS, hashed)
    require(f"{name}: golden vectors", GOLDEN_VECTORS, golden.golden_vectors_hash(way.encoder(golden.golden_encoder())))


def fastest(
    device: str, make: Callable[[Way], M], measure: Callable[[M, str, float], Speed], job: tuple[int, int],
    known: Speed | None = None,
) -> tuple[M, Speed]:  # fmt: skip
    """A model in the fastest sound way of a device, and its measured speed.

    Args:
        device: see `sound`.
        make: makes the model in a way.
        measure: gives a model's speed from (model, the way's name, seconds after which it may give up).
        job: tokens that a usual job reads and writes; its time is compared.
        known: the speed measured on this host before with this version; its way is taken without measuring again.

    Raises:
        SelfTestFailed: see `sound`.
    """
    ways = sound(device).ways
    kept = next((way for way in ways if known is not None and way.name == known.way), None)
    if kept is not None and known is not None:
        return make(kept), known
    best: tuple[M, Speed] | None = None
    for way in ways:
        model = make(way)
        patience = float("inf") if best is None else best[1].seconds(*job)
        speed = measure(model, way.name, patience)
        if best is None or speed.seconds(*job) < patience:
            best = model, speed
    assert best is not None  # `sound` found one
    return best


def timed(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds of the fastest of some rounds."""

    def once() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return min(once() for _ in range(rounds))
