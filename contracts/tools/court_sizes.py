"""How many bytes and how much gas each kind of step of COURT.md takes, at real shapes: the table of its last section.

    python -m contracts.tools.court_sizes            writes the table into COURT.md
    python -m contracts.tools.court_sizes --check    fails if the table is not what this computes, or a bar is broken

Bytes are counted by running each operation over openings of the sizes that the layout asks for, every path as long as
its lists can make it and every byte taken for one that is not zero. Execution is put together from what
`forge test --match-path 'test/court/Steps.t.sol'` measured (snapshots/court.json) and the prices of storage.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.court import arrays
from contracts.court.layout import Array, CourtConfig, Home, Layout, Place, Text
from contracts.model.court.checker import operations
from contracts.model.court.operations.base import Operation, Spot
from contracts.model.court.reading import Claims, Handed, Reader, ReadTerms
from contracts.model.court.trees import Key, Texts, hops

ROOT = Path(__file__).resolve().parent.parent
PAGE, MEASURED = ROOT / "COURT.md", ROOT / "snapshots" / "court.json"
BEGIN, END = "<!-- court_sizes: begin -->", "<!-- court_sizes: end -->"

TEXTS = 64
"""Texts of the job, so that a path leads through a full node of them."""

POSITIONS = (96, 2_048, 8_192, 32_768)
ANSWER = 32
"""Tokens of the answer at 96 positions; a quarter of the positions beyond."""

TRANSACTION, SLOT, CONVICTION = 21_000, 2_100, 22_100
"""Gas of a transaction, of a slot of storage read first (EIP-2929), and of one written first."""

STEP_BYTES = 4 + 32 + 32
"""Selector, case, and operation with place, row, column and other packed in one word."""

PRAGUE, DEARER = 300_000, 450_000
"""The bars: gas of a step with EIP-7623's floor of 40 a byte, and with a floor of 64."""

SHAPES = {
    "135M": CourtConfig(0, 30, 576, 1_536, 9, 3, 64, 49_152, 32_768, 1, 2**60, 10, 10),
    "8B": CourtConfig(0, 32, 4_096, 14_336, 32, 8, 128, 128_256, 32_768, 0, 2**60, 9, 10),
    "70B": CourtConfig(0, 80, 8_192, 28_672, 64, 8, 128, 128_256, 32_768, 0, 2**60, 9, 10),
    "largest": CourtConfig(0, 2**16, 2**14, 2**16 - 1, 255, 255, 256, 2**31 - 1, 2**15, 0, 2**60, 9, 9, 4_096, 2**60),
    "22M encoder": CourtConfig(1, 6, 384, 1_536, 12, 12, 32, 30_522, 32_768, 0, 2**60, 10, 10),
    "largest encoder": CourtConfig(1, 2**16, 2**14, 2**16 - 1, 64, 64, 256, 2**31 - 1, 2**15, 0, 2**60, 9, 9),
}


class Sizing(Reader):
    """Reads made-up values, and counts the bytes, hashes and slots that the real ones would take."""

    def __init__(self, claims: Claims) -> None:
        super().__init__(claims, Handed({}))
        self.data, self.digests, self.pairs = 0, 0, 0
        self.reads: list[str] = []
        self.hashed: list[int] = []
        self.slots = {"config", "counts", "order", "seed"}
        self.sha_pairs, self.sha_blocks = 0, 0

    def _proven(self, key: Key) -> list[int]:
        array, count = self.layout.arrays[key.array], self._count(self.layout.arrays[key.array], key)
        self.slots.add(f"{array.home} {array.unit}")
        size = count * array.kind.width
        self.data += size
        if key.array not in self.reads:
            self.reads.append(key.array)
        if array.home in (Home.PROMPT, Home.OUTPUT):
            self._words(array.shape(key.place)[1])
        else:
            self._lists(array, key, size)
        return [_plausible(array, index) for index in range(count)]

    def _lists(self, array: Array, key: Key, size: int) -> None:
        counts = [count for _, count in hops(self.layout, array, key, self.claims.texts)]
        siblings = sum((count - 1).bit_length() for count in counts)
        self.digests += siblings
        if array.home is Home.LOGGED:
            self.sha_pairs, self.sha_blocks = self.sha_pairs + siblings + len(counts), self.sha_blocks + 1
            return
        block = array.block * array.kind.width
        self.hashed += [min(block, size - start) for start in range(0, size, block)]
        self.pairs += siblings + len(counts) + (len(range(block, size, block)) if key.block is None else 0)

    def _words(self, words: int) -> None:
        """A block of packed words, and the full nodes of 64 above it."""
        self.hashed.append(4 * min(64, words))
        for count in (-(-words // 64), self.claims.texts.count):
            while count > 1:
                self.digests += min(64, count) - 1
                self.hashed.append(32 * min(64, count))
                count = -(-count // 64)
        self.pairs += 2

    @property
    def bytes(self) -> int:
        """All bytes of the step's calldata."""
        return STEP_BYTES + self.data + 32 * self.digests


def _plausible(array: Array, index: int) -> int:
    if array.name.endswith(".scale"):
        return (1, 0, 30)[index]
    ones = array.name.endswith((".root", "_at")) or "_sum." in array.name or ".total." in array.name
    return int(ones and not array.name.endswith("_at"))


@dataclass(frozen=True)
class Cost:
    """One kind of step at one size."""

    operation: str
    bytes: int
    execution: int
    reads: tuple[str, ...]

    @property
    def prague(self) -> int:
        """Gas with EIP-7623: the larger of the usual price and 40 a byte."""
        return TRANSACTION + max(16 * self.bytes + self.execution, 40 * self.bytes)

    @property
    def dearer(self) -> int:
        """Gas with a floor of 64 a byte."""
        return TRANSACTION + max(16 * self.bytes + self.execution, 64 * self.bytes)


def execution(reader: Sizing, operation: str, measured: dict[str, int]) -> int:
    """Gas of what a step does, from measured pieces."""
    gas = measured["empty"] + measured["scalar"] + measured["pair"] * reader.pairs + CONVICTION
    gas += sum(measured["leaf"] + measured["leaf_word"] * -(-size // 32) for size in reader.hashed)
    gas += measured["sha_pair"] * reader.sha_pairs + measured["sha_block"] * reader.sha_blocks
    return gas + SLOT * len(reader.slots) + measured[_loop(operation)]


def _loop(operation: str) -> str:
    """The measured loop over a block that an operation has."""
    if operation.endswith("_sums.sum.0"):
        return "dot64"
    if operation == "mix.score":
        return "score256"
    if operation.endswith(".0"):
        part = operation.split(".")[1]
        named = {"squares": "squares64", "weight_sum": "weigh64", "before_cut": "before64", "before_token": "before64"}
        return "mix64" if operation == "mix.total.0" else named.get(part, "sum64")
    return "sum64" if operation[-1].isdigit() else "none"


def _layout(shape: str, positions: int) -> Layout:
    config = SHAPES[shape]
    answer = config.width if config.encoder else (ANSWER if positions < 128 else positions // 4)
    prompt = positions if config.encoder else positions + 1 - answer
    return arrays.layout(Text(config, prompt, answer))


def costs(shape: str, positions: int, measured: dict[str, int]) -> Iterator[Cost]:
    """Every kind of step at a shape and a length of text, each at its last place."""
    layout = _layout(shape, positions)
    for operation in operations(layout).values():
        terms = ReadTerms(0 if operation.name == "output:greedy" else 1_000, limit=layout.text.output)
        claims = Claims(layout, Texts(0, TEXTS), terms, {}, lambda unit, place: None)
        found = [_cost(claims, operation, spot, measured) for spot in _spots(layout, operation)]
        reads = tuple(dict.fromkeys(name for cost in found for name in cost.reads))
        yield replace(max(found, key=lambda cost: (cost.bytes, cost.execution)), reads=reads)


def _spots(layout: Layout, operation: Operation) -> Iterator[Spot]:
    """The last place, and the first and last stage: what a step reads depends on no more."""
    array = layout.arrays[operation.array]
    last: Place = tuple(size - 1 for size in array.axes)
    for place in dict.fromkeys((last, (0, *last[1:]), (max(0, last[0] - 1), *last[1:]))):
        rows, width = array.shape(place)
        yield from (Spot(place, row, 0) for row in {0, rows - 1})
        yield Spot(place, rows - 1, width - 1)


def _cost(claims: Claims, operation: Operation, spot: Spot, measured: dict[str, int]) -> Cost:
    reader = Sizing(claims)
    operation.holds(reader, spot)
    return Cost(operation.name, reader.bytes, execution(reader, operation.name, measured), (*reader.reads,))


def demands(layout: Layout) -> int:
    """How often a node's side that shows nothing unasked is asked at most: down to a residual that differs, then to
    what differs in a unit, then to what differs in that of a head or of a product. Values take one demand more."""

    def shows(array: Array) -> int:
        place = tuple(size - 1 for size in array.axes)
        counts = [count for _, count in hops(layout, array, Key(array.name, place, 0, 0), Texts(0, TEXTS))]
        return 1 + sum(-(-(count - 1).bit_length() // 6) for count in counts)

    units = [array for array in layout.all if array.home is Home.UNIT]
    inner = [array for array in units if array.unit == "mix" or array.unit.endswith("_sums")]
    outer = [array for array in units if array not in inner]
    return shows(layout.arrays["residual"]) + max(map(shows, outer)) + max(map(shows, inner))


def table(measured: dict[str, int]) -> list[str]:
    """The page's tables: a line for each shape and length, and all kinds of step of two shapes."""
    found = {(shape, at): [*costs(shape, at, measured)] for shape in SHAPES for at in POSITIONS}
    lines = [
        "| shape | positions | kinds | dearest step | its bytes | most execution | prague | 64 a byte | demands |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (shape, at), steps in found.items():
        worst = max(steps, key=lambda step: (step.dearer, step.prague))
        most = max(step.execution for step in steps), max(step.prague for step in steps), worst.dearer
        numbers = " | ".join(f"{number:,}" for number in (worst.bytes, *most, demands(_layout(shape, at))))
        lines.append(f"| {shape} | {at:,} | {len(steps)} | `{worst.operation}` | {numbers} |")
    lines += ["", "Gas of the pieces, measured:", "", "| piece | gas |", "| --- | --- |"]
    lines += [f"| `{piece}` | {gas:,} |" for piece, gas in measured.items()]
    for shape in ("70B", "22M encoder"):
        lines += ["", f"The kinds of step of the {shape} at {POSITIONS[-1]:,} positions, and what they read:", ""]
        lines += _kinds(found[shape, POSITIONS[-1]])
    broken = [step for steps in found.values() for step in steps if step.prague > PRAGUE or step.dearer > DEARER]
    if broken:
        raise SystemExit(f"beyond {PRAGUE:,} or {DEARER:,} gas: {broken}")
    return lines


def _kinds(steps: list[Cost]) -> list[str]:
    """One line each; the levels of a sum above the first, which read the level below, are left out."""
    lines = ["| step | reads | bytes | execution | prague | 64 a byte |", "| --- | --- | --- | --- | --- | --- |"]
    for step in steps:
        if step.operation[-1] == "0" or not step.operation[-1].isdigit():
            numbers = " | ".join(f"{n:,}" for n in (step.bytes, step.execution, step.prague, step.dearer))
            lines.append(f"| `{step.operation}` | {', '.join(step.reads)} | {numbers} |")
    return lines


def main(arguments: list[str]) -> int:
    """Write the tables into the page, or compare them."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--check", action="store_true", help="only compare")
    chosen = options.parse_args(arguments)
    measured = {name: int(gas) for name, gas in json.loads(MEASURED.read_text()).items()}
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    fresh = f"{before}{BEGIN}\n" + "\n".join(table(measured)) + f"\n{END}{after}"
    if not chosen.check:
        PAGE.write_text(fresh)
    elif fresh != page:
        sys.stderr.write(f"{PAGE.name} has other tables; run python -m contracts.tools.court_sizes\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
