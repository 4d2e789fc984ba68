"""Tokens a second of the exact engine on one CPU thread: `python -m bench.box.speed kernels|torch` prints JSON.

The fastest sound way of each, by the time of a job of 64 + 64 tokens. Settings of the process decide which CPU it is:
`ASSAY_KERNELS`, and torch's own.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from bench.box.processes import python
from node_agent.execution.exact import kernels
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.exact.port import LlamaModel, Reading, Way
from node_agent.execution.exact.ways import KernelWay, require_sound_kernels, timed, tried
from node_agent.models import ModelStore

READ, WRITTEN, ROUNDS = 64, 24, 3
HELD_TO_AVX2 = {
    "ASSAY_KERNELS": "avx2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


def ways(kind: str) -> Sequence[Way]:
    """The sound ways of the kernels, or of torch, on one thread."""
    if kind == "kernels":
        made = [KernelWay(kernels.loaded(name, 1)) for name in kernels.available()]
        return tried(made, require_sound_kernels).ways
    import torch

    from node_agent.execution.exact.eager.ways import sound_ways

    torch.set_num_threads(1)
    return sound_ways("cpu").ways


def measure(way: Way, parameters: Parameters) -> dict[str, float | str]:
    """Tokens a second that a way reads and writes."""
    model: LlamaModel = way.llama(parameters)
    prompt = [(7919 * index) % model.config.vocab_size for index in range(READ)]

    def read() -> Any:
        cache = model.new_cache(READ + ROUNDS * WRITTEN)
        model.read([Reading(prompt, cache, 1)])
        return cache

    cache = read()

    def write() -> None:
        for token in prompt[:WRITTEN]:
            model.read([Reading([token], cache, 1)])

    read_s = timed(read, ROUNDS)
    return {"way": way.name, "read_per_s": READ / read_s, "write_per_s": WRITTEN / timed(write, ROUNDS)}


def main(kind: str) -> None:
    """Prints the fastest of a kind."""
    parameters = read_model(ModelStore().load("smollm2-135m-exact").weights)
    found = [measure(way, parameters) for way in ways(kind)]
    json.dump(min(found, key=lambda each: 64 / float(each["read_per_s"]) + 64 / float(each["write_per_s"])), sys.stdout)


def compared(settings: dict[str, str], pairs: int = 3) -> dict[str, object]:
    """Kernels and torch in turn, in processes of their own: medians of both, and of the ratios pair by pair."""
    rows = [
        {kind: python("-m", "bench.box.speed", kind, settings=settings) for kind in ("kernels", "torch")}
        for _ in range(pairs)
    ]
    found: dict[str, object] = {"pairs": rows}
    for what in ("read_per_s", "write_per_s"):
        for kind in ("kernels", "torch"):
            found[f"{kind} {what}"] = statistics.median(float(row[kind][what]) for row in rows)
        found[f"ratio {what}"] = statistics.median(
            float(row["kernels"][what]) / float(row["torch"][what]) for row in rows
        )
    return found


if __name__ == "__main__":
    main(sys.argv[1])
