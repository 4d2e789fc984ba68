"""What a decode step of the fused kernels moves and multiplies, against the least that the model's shapes need.

Counted, not estimated: Triton's interpreter runs the kernels, and every load, store and product of a tile is noted.
`memory_bytes` are the distinct bytes of each start of a kernel, which is what memory sees where the GPU's cache keeps
what several programs of one start read (activations and tables: kilobytes); `loaded_bytes` are those that programs load
or store in all, each as often as it does. Padding of tiles counts as multiply-adds.

Needed are: each weight, multiplier and gain once a step, a row of the embedding and of the rotary tables for each text,
its past and its new position in the bits that SPEC.md keeps, its logits; and in int8 multiply-adds two a weight (an
activation has 15 bits), four a key and six a value (10 x 10 and 17 x 9 bits).
"""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.gpu import models
from bench.report import Figure, write
from node_agent.execution import exact
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import golden
from node_agent.execution.exact.llama.model_file import ExactConfig

CONTEXT = 320
"""Positions of a text at the end of 64 + 256 tokens."""

MULTIPLY_ADDS_A_BYTE = 206
"""Of an H200 (data sheet, NVIDIA 2024): 1,979 int8 operations a nanosecond without sparsity, two a multiply-add, over
4.8 TB/s. A card with more bandwidth for its arithmetic has a smaller number."""


TEXTS = (1, 8)
MOST = 1.3
"""The ratio that a step may have at the roofline."""

PIECE = 1024
"""Words of the output matrix that are counted."""


@dataclass(frozen=True)
class Work:
    """Of one step; see the module. `starts`: of kernels."""

    memory_bytes: float
    loaded_bytes: float
    multiply_adds: float
    starts: float = 0

    @property
    def time(self) -> float:
        """In units of a byte's transfer: the roofline."""
        return max(self.memory_bytes, self.multiply_adds / MULTIPLY_ADDS_A_BYTE)


def needed(config: ExactConfig, texts: int, context: int = CONTEXT) -> Work:
    """The least for a step of so many texts, each at its last of `context` positions."""
    c, f, d = config.hidden_size, config.intermediate_size, config.head_dim
    heads, kv_heads, layers = config.num_attention_heads, config.num_key_value_heads, config.num_hidden_layers
    rows = {(heads + 2 * kv_heads) * d: c, c: heads * d}  # outputs: inputs
    weights = layers * (sum(o * i for o, i in rows.items()) + 3 * f * c) + config.vocab_size * c
    outputs = layers * (sum(rows) + 2 * f + c) + config.vocab_size
    position = layers * kv_heads * (d * (config.key_bits + a.VALUE_BITS) / 8 + 2)  # two exponents
    a_text = c + 4 * d / 2 + position * context + 4 * config.vocab_size
    attention = layers * heads * d * context * (4 + 6)
    least = weights + 4 * outputs + 4 * c * (2 * layers + 1) + texts * a_text
    return Work(least, least, texts * (2 * weights + attention))


def counted(config: ExactConfig, texts: int, context: int = CONTEXT) -> Work:
    """The same of the kernels. All layers are alike, and all programs of the output matrix: three small models tell of
    one with any number of either."""
    small = replace(config, vocab_size=PIECE, num_hidden_layers=1)
    base, layers, words = (
        astuple(_step(each, texts, context))
        for each in (small, replace(small, num_hidden_layers=2), replace(small, vocab_size=2 * PIECE))
    )
    more, wider = config.num_hidden_layers - 1, config.vocab_size / PIECE - 1
    return Work(*(b + more * (la - b) + wider * (w - b) for b, la, w in zip(base, layers, words, strict=True)))


def write_figures() -> Path:
    """Counts SmolLM2's steps and writes bench/results/gpu-roofline.json."""
    figures, works = {}, {}
    for texts in TEXTS:
        least, found = needed(models.SMOLLM2, texts), counted(models.SMOLLM2, texts)
        works[str(texts)] = {"needed": asdict(least), "counted": asdict(found)}
        figures |= {f"{name}_batch{texts}": figure for name, figure in compared(found, least).items()}
    return write(
        "gpu-roofline", "python -m bench.gpu roofline", figures,
        sources_sha256=digest(), context=CONTEXT, multiply_adds_a_byte=MULTIPLY_ADDS_A_BYTE, steps=works,
    )  # fmt: skip


def compared(found: Work, least: Work) -> dict[str, Figure]:
    """How many times the least a step takes."""
    return {
        "roofline_ratio": Figure(found.time / least.time, "of the needed time at the roofline", goal=MOST, must=MOST),
        "memory_ratio": Figure(found.memory_bytes / least.memory_bytes, "of the needed bytes", goal=MOST, must=MOST),
        "loaded_ratio": Figure(found.loaded_bytes / least.loaded_bytes, "of the needed bytes, caches included"),
        "multiply_add_ratio": Figure(
            found.multiply_adds / least.multiply_adds, "of the needed multiply-adds", goal=MOST
        ),
        "starts": Figure(found.starts, "kernels a step"),
    }


def digest() -> str:
    """Of what decides the figures."""
    sources = [*(Path(exact.__file__).parent / "fused").glob("*.py"), Path(__file__)]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(sources))).hexdigest()


def _step(config: ExactConfig, texts: int, context: int) -> Work:
    """One decode step over slots."""
    os.environ["TRITON_INTERPRET"] = "1"  # read where Triton is imported
    from node_agent.execution.exact.fused.products import TritonProducts
    from node_agent.execution.exact.fused.ways import FusedWay

    model: Any = FusedWay(TritonProducts(), torch.device("cpu")).llama(golden.fixed_llama(config, models.QKV_EXPONENT))
    slots = model.new_slots(texts, config.positions)
    tokens, places = torch.zeros(texts, dtype=torch.int64), torch.full((texts,), context - 1)
    with torch.inference_mode(), counting() as count:
        model.logits(model.decode(tokens, places, slots, config.positions))
    return count.work()


class Count:
    """What interpreted kernels did."""

    def __init__(self) -> None:
        self._memory = self._loaded = self.multiply_adds = self.starts = 0
        self._touched: dict[int, list[NDArray[np.uint64]]] = {}  # addresses by width, of one start

    def start(self) -> None:
        """A kernel starts: what it reads is not in the cache any more."""
        for width, addresses in self._touched.items():
            self._memory += width * len(np.unique(np.concatenate(addresses)))
        self._touched = {}
        self.starts += 1

    def move(self, pointers: Any, mask: Any) -> None:
        """A load or a store."""
        width = pointers.get_element_ty().primitive_bitwidth // 8
        addresses = pointers.data[np.broadcast_to(mask.data, pointers.data.shape).astype(bool)]
        self._loaded += width * addresses.size
        self._touched.setdefault(width, []).append(np.unique(addresses))

    def work(self) -> Work:
        """All of it."""
        self.start()
        return Work(self._memory, self._loaded, self.multiply_adds, self.starts - 1)


@contextmanager
def counting() -> Iterator[Count]:
    """While entered, what the interpreted kernels do is counted."""
    from triton.runtime import interpreter

    builder, executor, count = interpreter.InterpreterBuilder, interpreter.GridExecutor, Count()
    load, store, dot = builder.create_masked_load, builder.create_masked_store, builder.create_dot
    run: Callable[..., Any] = executor.__call__

    def counted_load(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        count.move(pointers, mask)
        return load(self, pointers, mask, *rest)

    def counted_store(self: Any, pointers: Any, value: Any, mask: Any, *rest: Any) -> Any:
        count.move(pointers, mask)
        return store(self, pointers, value, mask, *rest)

    def counted_dot(self: Any, left: Any, right: Any, *rest: Any) -> Any:
        assert left.data.dtype == right.data.dtype == np.int8
        count.multiply_adds += left.data.shape[0] * left.data.shape[1] * right.data.shape[1]
        return dot(self, left, right, *rest)

    def counted_run(self: Any, *given: Any, **more: Any) -> Any:
        count.start()
        return run(self, *given, **more)

    with ExitStack() as changes:
        for owner, name, change in (
            (builder, "create_masked_load", counted_load), (builder, "create_masked_store", counted_store),
            (builder, "create_dot", counted_dot), (executor, "__call__", counted_run),
        ):  # fmt: skip
            changes.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, change)
        yield count
