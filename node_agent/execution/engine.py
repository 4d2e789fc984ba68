"""The port between the rest of Assay and whatever computes.

An engine turns (prompts, parameters) of one workload into an output, a trace hash and a number of units. Prompts and
output are packed words (`contracts.protocol.packed`): token ids, or numbers of vectors. An engine is built for one
workload and one device, and then called any number of times.

Its contract: *the same call gives the same bytes* on every host that may serve the workload, because a verifier
derives all three values again and compares them for equality. The trace hash covers everything computed on the way (the
logits of each position), so nobody can know it without doing the work.

Each engine says how its work is checked:
- `regenerate`: the verifier runs the same generation again, step by step. For plain float engines, whose prefill and
  decode differ in the last bits.
- `prefill`: one teacher-forced pass over prompt and completion. For engines whose arithmetic does not depend on how
  positions are batched. Embeddings decode nothing, so that pass is the work itself.

An engine does not know the network, the chain, orders, prices, keys, or whether a node or a verifier calls it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Literal, Protocol, runtime_checkable

from contracts.protocol.packed import split
from contracts.protocol.trace import trace_hash_of
from node_agent.execution.errors import EngineMismatch, ExecutionError

Check = Literal["regenerate", "prefill"]

MAX_UNITS = 2**32 - 1
"""What a commitment has room for."""


@dataclass(frozen=True)
class Execution:
    """What one run of a workload produced.

    Attributes:
        output: the packed ids, or vectors, that answer each text.
        trace_hash: 32 bytes over everything computed on the way to the answer.
        units: how much was done, in the workload's unit of metering (at least 0).
        trace: bytes from which `trace_hash` follows (`contracts.protocol.trace`); a node publishes them once nobody can
            copy them any more. Empty where the engine has nothing short to show.
    """

    output: bytes
    trace_hash: bytes
    units: int
    trace: bytes = b""

    def __post_init__(self) -> None:
        if len(self.trace_hash) != 32:
            raise ValueError(f"a trace hash has 32 bytes, this one has {len(self.trace_hash)}")
        if not 0 <= self.units <= MAX_UNITS:
            raise ValueError(f"units count work done, up to {MAX_UNITS}, and cannot be {self.units}")
        if self.trace and trace_hash_of(self.trace) != self.trace_hash:
            raise ValueError("the trace hash does not follow from the trace")
        split(self.output)  # raises NotPacked


@dataclass(frozen=True)
class Speed:
    """The measured speed of a host on one job alone, before it takes any.

    Attributes:
        way: how it computes, for display: "AVX2 kernels, 1 thread".
        read_per_s: tokens a second read in one pass: a prompt, a check, a text to embed.
        write_per_s: tokens a second generated one after the other; equal to `read_per_s` where nothing is generated.
    """

    way: str
    read_per_s: float
    write_per_s: float

    def __post_init__(self) -> None:
        if not all(0 < speed < inf for speed in (self.read_per_s, self.write_per_s)) or not self.way.isprintable():
            raise ValueError(f"nothing is as fast as {self}")

    def seconds(self, read: int, written: int) -> float:
        """How long a job of so many tokens read and written takes."""
        return read / self.read_per_s + written / self.write_per_s


class Engine(Protocol):
    """Computes one workload on one device.

    Attributes:
        name: the manifest's `engine`.
        version: the manifest's `engine_version`; it changes whenever the same call could give other bytes.
        check: how a verifier re-derives the work.
        numeric_class: hex digest of this host's calibration, if hosts of another class may get other bits; else None.
        concurrent: whether several threads may call `execute` at once; their orders are then answered together.
        speed: of this host, if it was measured.
    """

    name: str
    version: str
    check: Check
    numeric_class: str | None = None
    concurrent: bool = False
    speed: Speed | None = None

    def execute(self, input_bytes: bytes, params: Mapping[str, int]) -> Execution:
        """Run the workload once.

        Args:
            input_bytes: the packed prompts under the order's prompt root.
            params: the order's parameters, by name.

        Raises:
            InvalidInput: the bytes cannot be run by this workload.
            InvalidParams: the parameters do not fit its schema.
        """
        ...

    def recheck(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> Execution:
        """Gives what `execute` gives, whatever is claimed. Some engines do it faster where the claim is right.

        Args:
            input_bytes, params: see `execute`.
            claimed: the output that a node claims; any bytes.
        """
        return self.execute(input_bytes, params)

    def observe(self, input_bytes: bytes, params: Mapping[str, int], claimed: bytes) -> bytes:
        """What this host sees in an answer of another numeric class: an encoded `Observation`
        (`contracts.protocol.native.observation`). Arguments as of `recheck`.

        Raises:
            EngineMismatch: the engine has no numeric classes.
        """
        raise EngineMismatch(
            f"The engine {self.name} has no numeric classes to look across.",
            way_out="Run the job again and compare what comes out.",
            engine=self.name,
        )


class Batch(Protocol):
    """Orders answered together: each joins at any step, and leaves when it is done."""

    @property
    def busy(self) -> bool:
        """Whether any order is under way."""
        ...

    def join(self, key: int, input_bytes: bytes, params: Mapping[str, int]) -> None:
        """Add an order under a key of its own; it takes part from the next step on.

        Raises:
            ExecutionError: as `Engine.execute` would, or OutOfMemory. The other orders are not affected.
        """
        ...

    def step(self) -> list[tuple[int, Execution | ExecutionError]]:
        """Advance every order by one step. Returns the finished ones: key, and what `execute` would return or raise."""
        ...


@runtime_checkable
class Batching(Protocol):
    """An engine whose results do not depend on what else it computes, so that it can answer any orders together."""

    def new_batch(self) -> Batch:
        """An empty batch."""
        ...
