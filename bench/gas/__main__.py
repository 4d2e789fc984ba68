"""`python -m bench.gas`: prints the tables and writes bench/results/gas.json."""

import argparse
from typing import Any

from bench.gas.acts import Acts
from bench.gas.epochs import Epochs, Measured, Shape, largest
from bench.gas.network import network
from bench.gas.peers import PEERS
from bench.report import Figure, write

MUST = {"1000x50x50": 2200, "largest": 1750, "first_deposit_permit": 110_000, "claim": 60_000, "slash_one_job": 200_000}
GOAL = {"1000x50x50": 1900, "largest": 1600}
FIGURES = (
    "first_deposit_permit", "claim", "slash_one_job", "slash_paid_job", "case_without_appeal", "settle_one",
    "contest_answered", "withdraw", "register_node",
)  # fmt: skip


def measure_epochs(shapes: dict[str, Shape]) -> dict[str, Measured]:
    """Each shape's epoch, on one network whose lanes and operators were all at work before."""
    with network() as made:
        lanes, operators = (max(getattr(s, part) for s in shapes.values()) for part in ("lanes", "operators"))
        epochs = Epochs(made, lanes, operators)
        return {name: epochs.measure(shape) for name, shape in shapes.items()}


def measure_acts() -> dict[str, int]:
    """Gas by act."""
    with network() as made:
        return Acts(made).measure()


def shapes(*, with_dearest: bool) -> dict[str, Shape]:
    """By the name of its figure. The dearest needs a thousand lanes and operators set up."""
    found = {"1000x50x50": Shape(1000, 50, 50), "100x10x10": Shape(100, 10, 10), "1000x1x1": Shape(1000, 1, 1)}
    if with_dearest:
        found["1000x1000x1000"] = Shape(1000, 1000, 1000)
    return found | {"largest": largest(50, 50)}


def figures(epochs: dict[str, Measured], acts: dict[str, int]) -> dict[str, Figure]:
    """What the file's readers compare."""
    jobs = {
        f"gas_per_job_{name}": Figure(one.gas_per_job, "gas", GOAL.get(name), MUST.get(name))
        for name, one in epochs.items()
    }
    return jobs | {f"gas_{name}": Figure(acts[name], "gas", None, MUST.get(name)) for name in FIGURES}


def main() -> None:
    """Measures, writes, prints; fails where something that must hold does not."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    epochs, acts = measure_epochs(shapes(with_dearest=True)), measure_acts()
    acts = {"claim": epochs["1000x50x50"].claim_gas} | acts
    found = figures(epochs, acts)
    raw = {"epochs": {name: one.record() for name, one in epochs.items()}, "acts": acts}
    path = write("gas", "make bench-gas", found, raw=raw, peers=[vars(peer) for peer in PEERS])
    _print(epochs, acts)
    print(f"written to {path.name}")
    broken = [name for name, one in found.items() if one.must is not None and (one.value or 0) > one.must]
    if broken:
        raise SystemExit(f"above what must hold: {', '.join(broken)}")


def _print(epochs: dict[str, Measured], acts: dict[str, int]) -> None:
    columns = ("jobs", "lanes", "operators", "packed_bytes", "post_gas", "settle_gas", "claim_gas", "gas_per_job")
    _row("an epoch of", columns)
    for name, one in epochs.items():
        record: dict[str, Any] = one.record()
        _row(name, [f"{record[column]:,}" for column in columns])
    print()
    for name, gas in acts.items():
        _row(name, [f"{gas:,}"])
    print()
    _row("others, by", ("gas", "gas", "batches", "slashes", "kept on chain"))
    for peer in sorted(PEERS, key=lambda one: one.least):
        cells = (f"{peer.least:,}", f"{peer.most:,}", *("yes" if x else "no" for x in (peer.batches, peer.slashes)))
        _row(f"{peer.name} ({peer.per})", (*cells, peer.record))


def _row(head: str, cells: Any) -> None:
    print(f"{head:<48}" + "".join(f"{cell:>14}" for cell in cells))


if __name__ == "__main__":
    main()
