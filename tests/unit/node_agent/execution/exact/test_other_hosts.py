"""Other kinds of CPU, emulated by qemu: the kernels compiled for them give the golden hashes, and a generation this
host's trace. Part of `make soak`.

The host is a program of C around the kernels (`other_host.c`) instead of Python and numpy: so it is there for every CPU
that the compiler knows, and starts at once. Python asks it for logits, traces them and chooses the tokens.
"""

import runpy
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.protocol.trace import trace_hash_of
from node_agent.execution.exact import golden, kernels
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.encoder.kernels import KernelEncoder
from node_agent.execution.exact.encoder.model_file import EncoderParameters
from node_agent.execution.exact.llama.decoding import DecodingTask, generate, recheck
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.port import EncoderModel, LlamaModel, Reading
from node_agent.execution.exact.sampling import ExactSampling
from node_agent.execution.exact.trace import encode
from node_agent.execution.exact.ways import KernelWay
from tests.unit.node_agent.execution.exact.conftest import FAMILIES, MakeModel, with_biases
from tests.world.soak import SOAK

if not SOAK:
    pytest.skip("emulated CPUs are part of `make soak`", allow_module_level=True)
pytestmark = pytest.mark.timeout(1200)  # the compiler makes a C library for each target first, once a machine

SETUP = Path(__file__).parents[5] / "setup.py"
"""Compiles the kernels of an installation; here, with the same flags, those of another CPU."""

AnyModel = Parameters | EncoderParameters
Parts = Iterator[tuple[Any, type[np.generic]]]


@dataclass(frozen=True)
class Cpu:
    """A kind of CPU: how qemu names it, how the compiler does, and its byte order as numpy has it."""

    qemu: str
    target: str
    order: str = "<"


CPUS = (
    Cpu("aarch64", "aarch64-linux-musl"),
    Cpu("riscv64", "riscv64-linux-musl"),
    Cpu("s390x", "s390x-linux-musl", ">"),
    Cpu("arm", "arm-linux-musleabihf"),
)
"""ARM64, which Assay can be installed on; RISC-V; one of another byte order; and one of 32 bits."""


@dataclass
class OtherCache:
    """See `port.Cache`: the past of a text, which the other host keeps under a number."""

    text: int
    used: int = 0

    def recall(self, tokens: Sequence[int]) -> bytes | None:
        return None


class OtherHost:
    """A model in a program on another CPU; see `port.LlamaModel` and `port.EncoderModel`."""

    def __init__(self, process: subprocess.Popen[bytes], order: str, parameters: AnyModel) -> None:
        self._process, self._order, self._texts = process, order, 0
        self.config = config = parameters.config
        self.exp2, self.layers = parameters.exp2.astype(np.int64), list(parameters.layers)
        encodes = isinstance(parameters, EncoderParameters)
        parts = list(_encoder_parts(parameters) if isinstance(parameters, EncoderParameters) else _parts(parameters))
        sizes = kernels.sizes_of(config, kernels.Kept(), parameters.exp2, parameters.exp2)
        numbers = [getattr(sizes, name) for name, _ in kernels.Sizes._fields_[:10]]
        self._send([encodes, len(parts)], np.int32)
        self._send([*numbers, config.num_hidden_layers, config.vocab_size, config.positions], np.int64)
        for values, kind in parts:
            array = np.zeros(0, kind) if values is None else np.asarray(values, kind)
            self._send([array.nbytes], np.int64)
            self._send(array, kind)

    def new_cache(self, positions: int) -> OtherCache:
        self._texts += 1
        return OtherCache((self._texts - 1) % 16)

    def read(self, batch: Sequence[Reading[OtherCache]]) -> NDArray[np.int32]:
        texts = [(each.cache.text, each.cache.used, each.wanted, each.tokens) for each in batch]
        wanted = sum(each.wanted for each in batch)
        for each in batch:
            each.cache.used += len(each.tokens)
        return self._asked(texts, wanted, (wanted, self.config.vocab_size), np.int32)

    def states(self, texts: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
        rows = sum(len(text) for text in texts)
        shape = len(self.layers) + 1, rows, self.config.hidden_size
        return list(self._asked([(i, 0, 0, text) for i, text in enumerate(texts)], 0, shape, np.int64))

    def vector(self, states: NDArray[np.int64]) -> list[int]:
        return KernelEncoder.vector(self, states)  # type: ignore[arg-type]  # Python's integers alone

    def _asked(self, texts: Any, wanted: int, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        words = [word for number, used, last, tokens in texts for word in (number, used, len(tokens), last, *tokens)]
        self._send([len(texts), len(words), wanted, *words], np.int32)
        size, answer = int(np.prod(shape)) * np.dtype(kind).itemsize, b""
        assert self._process.stdout is not None
        while len(answer) < size:
            piece = self._process.stdout.read(size - len(answer))
            assert piece, f"the other host ended with {self._process.wait()}"
            answer += piece
        return np.frombuffer(answer, np.dtype(kind).newbyteorder(self._order)).astype(kind).reshape(shape)

    def _send(self, values: Any, kind: type[np.generic]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(np.asarray(values).astype(np.dtype(kind).newbyteorder(self._order)).tobytes())


def _matrix(matrix: Matrix) -> Parts:
    yield from ((matrix.weight, np.int8), (matrix.multiplier, np.int32), (matrix.bias, np.int32))
    yield matrix.exponent, np.int32


def _parts(p: Parameters) -> Parts:
    """As `llama` of standalone.c takes them."""
    yield from ((p.exp2, np.int32), (p.sigmoid, np.int32), (p.cos, np.int16), (p.sin, np.int16))
    yield from (*_matrix(p.embedding), *_matrix(p.head), (p.final_norm, np.int32))
    for layer in p.layers:
        for matrix in (layer.qkv, layer.attention_out, layer.gate_up, layer.down):
            yield from _matrix(matrix)
        for gain in (layer.attention_norm, layer.mlp_norm, layer.query_norm, layer.key_norm):
            yield gain, np.int32


def _encoder_parts(p: EncoderParameters) -> Parts:
    """As `encoder` of other_host.c takes them."""
    yield from ((p.exp2, np.int32), (p.normal, np.int32), (p.position, np.int32), *_matrix(p.embedding))
    yield from ((p.embedding_norm.gain, np.int32), (p.embedding_norm.bias, np.int32))
    for layer in p.layers:
        for matrix in (layer.qkv, layer.attention_out, layer.up, layer.down):
            yield from _matrix(matrix)
        for norm in (layer.attention_norm, layer.out_norm):
            yield from ((norm.gain, np.int32), (norm.bias, np.int32))


Start = Callable[[AnyModel], OtherHost]


@pytest.fixture(scope="module", params=CPUS, ids=lambda cpu: cpu.qemu)
def start(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts the program on a CPU, with a model."""
    cpu: Cpu = request.param
    emulator = shutil.which(f"qemu-{cpu.qemu}-static") or shutil.which(f"qemu-{cpu.qemu}")
    if emulator is None:
        pytest.skip(f"no qemu-{cpu.qemu} on the PATH; as root: apt-get install qemu-user-static")
    setup, program = runpy.run_path(str(SETUP)), tmp_path_factory.mktemp(cpu.qemu) / "host"
    kind = setup["SETS"].get(cpu.qemu, {"portable": "baseline"})["portable"]
    rolled = "-Wno-error=pass-failed"  # a loop that stays one is slower and as right
    setup["compile_c"](cpu.target, kind, Path(__file__).with_name("other_host.c"), program, "-static", rolled)
    started: list[subprocess.Popen[bytes]] = []

    def begin(parameters: AnyModel) -> OtherHost:
        command = [emulator, str(program)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0))
        return OtherHost(started[-1], cpu.order, parameters)

    yield begin
    for process in started:
        process.communicate()


def test_golden_hashes(start: Start) -> None:
    """Decode, chunks and prefill of a Llama and of one with all that families add, and an encoder of two texts:
    instructions, byte order and width of pointers are another CPU's, the hashes are not."""
    for parameters, pinned in (
        (golden.golden_parameters(), golden.GOLDEN_LOGITS),
        (golden.golden_family(), golden.GOLDEN_FAMILY_LOGITS),
    ):
        llama: LlamaModel = start(parameters)
        assert [golden.golden_hash(llama, chunk) for chunk in (1, 5, 24)] == [pinned] * 3
    encoder: EncoderModel = start(golden.golden_encoder())
    assert golden.golden_vectors_hash(encoder) == golden.GOLDEN_VECTORS


def test_a_lost_bit_shows(start: Start) -> None:
    """The hash comes from the other host's numbers: a model that differs in one bit has another."""
    model = golden.fixed_llama(golden.golden_parameters().config, qkv_exponent=32)
    model.layers[1].down.weight[3, 7] ^= 1
    assert golden.golden_hash(start(model), 24) != golden.GOLDEN_LOGITS


@pytest.mark.parametrize("family", ["llama", "qwen2 with a window", "qwen3"])
def test_a_whole_generation(start: Start, make_model: MakeModel, family: str) -> None:
    """Greedy and drawn texts, answered together and checked in one pass: tokens and trace hash are this host's."""
    model = make_model(seed=7, size=1.5, **FAMILIES[family])
    parameters = with_biases(model) if "qwen2" in family else model
    how = [ExactSampling(), ExactSampling(900, 950_000, bytes(range(32))), ExactSampling(1300)]
    prompts = ([3, 50, 7], list(range(40)), [12])
    tasks = [DecodingTask(prompts[i], 20, frozenset({5}), how[i], i) for i in range(3)]
    here = generate(KernelWay(kernels.loaded(kernels.available()[0], 1)).llama(parameters), tasks)
    model_there: LlamaModel = start(parameters)
    there = generate(model_there, tasks)
    assert [run.chosen for run in there] == [run.chosen for run in here]
    expected = trace_hash_of(encode([run.trace for run in here]))
    assert trace_hash_of(encode([run.trace for run in there])) == expected
    checked = [recheck(model_there, task, run.chosen) for task, run in zip(tasks, here, strict=True)]
    assert trace_hash_of(encode([run.trace for run in checked if run is not None])) == expected
