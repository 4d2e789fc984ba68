"""`python -m bench.gpu [--cpu-hashes FILE]`: measures on the GPU and writes bench/results/gpu-exact.json.
`python -m bench.gpu roofline` counts what the kernels move and multiply, for which no GPU is needed (`roofline.py`).

The hashes of 1,024 prompts with 64 tokens each are computed on the GPU and compared with a CPU's: those of FILE, or
else of the first segments, computed on this machine. FILE is what `python -m bench.gpu hash --device cpu` printed on
any machine (a segment takes minutes of one core, there are 16). Without a GPU nothing is measured and nothing written.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from bench.gpu import exactness, models, roofline, speed
from bench.report import Figure, write
from node_agent.execution.exact.eager.ways import EagerWay
from node_agent.execution.exact.eager.ways import sound_ways as sound_torch_ways
from node_agent.execution.exact.fused.ways import FusedWay, sound_ways

CPU_SEGMENTS = 2
"""Computed on the CPU of the machine with the GPU, if no file is given."""


def report(device: str, segments: int) -> dict[str, Any]:
    """The hashes of this machine: on a GPU by the fused kernels if they are sound there."""
    return exactness.report(models.exact([*sound(device).values()][-1]), segments)


def sound(device: str) -> dict[str, EagerWay]:
    """The first sound way of torch, and that of Triton on a GPU, by what figures call them."""
    found = sound_torch_ways(device) if device == "cpu" else sound_ways(device)
    sys.stderr.write("".join(f"not sound: {name}: {why}\n" for name, why in found.unsound.items()))
    first: dict[str, EagerWay] = {}
    for way in found.ways:
        first.setdefault("triton" if isinstance(way, FusedWay) else "torch", way)
    return first


def figures(gpu: dict[str, Any], cpu: dict[str, Any], fast: dict[str, Any]) -> dict[str, Figure]:
    """What a reader wants to know of the raw results."""
    common, different = exactness.compared(gpu, cpu)
    found = {
        "prompts": Figure(sum(each["prompts"] for each in gpu["segments"]), "prompts", goal=1_000),
        "prompts_compared": Figure(common, "prompts", goal=1_000),
        "segments_that_differ": Figure(different, "sha256", goal=0, must=0),
    }
    for way, results in fast.items():
        for batch, measured in results["batches"].items():
            for name, ratio in measured["ratios"].items():
                other = name.rpartition("_")[2]
                found[f"{way}_{name}_batch{batch}"] = Figure(ratio, f"of transformers {other}")
    return found


def measure(cpu_hashes: Path | None) -> None:
    """Measures, gathers, prints; fails where the GPU's hashes are not the CPU's."""
    if not torch.cuda.is_available():
        raise SystemExit(f"torch {torch.__version__} sees no CUDA device: nothing was measured, nothing is written")
    gpu = report("cuda", exactness.SEGMENTS)
    cpu = json.loads(cpu_hashes.read_text()) if cpu_hashes else report("cpu", CPU_SEGMENTS)
    fast = {name: speed.measure(way) for name, way in sound("cuda").items()}
    found = figures(gpu, cpu, fast)
    path = write("gpu-exact", "make bench-gpu", found, versions=versions(), exactness=[gpu, cpu], speed=fast)
    for name, one in found.items():
        print(f"{name:42} {one.value:>10,.4g} {one.unit}")
    print(f"written to {path.name}")
    if found["segments_that_differ"].value != 0:
        raise SystemExit("the GPU does not compute what the CPU computes")


def versions() -> dict[str, str]:
    """What decides how fast it is, beside the card."""
    import transformers

    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(query, check=True, capture_output=True, text=True).stdout.splitlines()[0]
    return {
        "gpu": torch.cuda.get_device_name(),
        "driver": driver,
        "cuda": torch.version.cuda or "none",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--cpu-hashes", type=Path, metavar="FILE", help="what `hash --device cpu` printed")
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("roofline", help="count bytes and multiply-adds of a step (minutes)")
    hashing = commands.add_parser("hash", help="print a device's hashes as JSON")
    hashing.add_argument("--device", default="cpu", help="cpu, or cuda")
    hashing.add_argument("--segments", type=int, default=exactness.SEGMENTS, help="of 64 prompts each; all are 16")
    chosen = parser.parse_args()
    if chosen.command == "roofline":
        print(f"written to {roofline.write_figures().name}")
    elif chosen.command == "hash":
        sys.stdout.write(json.dumps(report(chosen.device, chosen.segments), indent=1) + "\n")
    else:
        measure(chosen.cpu_hashes)


if __name__ == "__main__":
    main()
