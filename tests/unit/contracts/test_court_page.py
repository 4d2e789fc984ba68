"""COURT.md and `contracts.court` name the same arrays, widths and steps, so that neither can change alone."""

import re
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pytest

from contracts.court import arrays
from contracts.court.layout import Array, CourtConfig, Home, Layout, Text
from contracts.model.court.checker import operations
from contracts.tools.court_sizes import PAGE, main

SHORT = {
    "short_exponent": 1,
    "short_exponent_at": 4,
    "short": 2,
    "exponent": 1,
    "exponent_at": 4,
    "root": 4,
    "squares.n": 8,
}
"""Widths that the page says once, for all units that have them."""


def _layout(encoder: int) -> Layout:
    config = CourtConfig(encoder, 2, 8_192, 70, 4, 4 if encoder else 2, 64, 9_000, 5_000, 0, 1, 10, 10)
    config = config if encoder else replace(config, window=99, head_epsilon=1)
    return arrays.layout(Text(config, 4_500, 3))


LAYOUTS = [_layout(0), _layout(1)]


def _section(number: int) -> str:
    found = re.search(rf"^## {number} .*?\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
    assert found is not None
    return found[1]


def _rows(number: int) -> list[list[str]]:
    lines = [line for line in _section(number).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def _pattern(name: str) -> str:
    """A name of section 7 as a pattern: `<matrix>` and `*` stand for anything, n for a level above the first."""
    escaped = re.escape(name.replace("<matrix>", "*").replace("<sum>", "*")).replace(r"\*", ".+")
    return re.sub(r"\\\.n$", r"\\.[1-9]", escaped)


def test_every_kind_of_step_stands_in_section_7() -> None:
    """And every name there is that of a step."""
    named = {name: _pattern(name) for row in _rows(7) for name in re.findall(r"`([^`]+)`", row[0])}
    kinds = {name for layout in LAYOUTS for name in operations(layout)}
    assert {kind for kind in kinds if not any(re.fullmatch(one, kind) for one in named.values())} == set()
    assert {name for name, one in named.items() if not any(re.fullmatch(one, kind) for kind in kinds)} == set()


def _widths(array: Array, cells: list[str]) -> set[int]:
    return {int(number) for number in re.findall(r"\d+", cells[1])}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_array_outside_units_has_its_width_and_order(layout: Layout) -> None:
    """Sections 3 to 5: order, commitment and trace hash, the model, the trace."""
    rows = {name: row for number in (3, 4, 5) for row in _rows(number) for name in _names(row[0])}
    for array in layout.all:
        if array.home is not Home.UNIT:
            name = re.sub(r"^(embedding|qkv|attention_out|down|up|gate_up|head)\.", "<matrix>.", array.name)
            assert array.kind.width in _widths(array, rows[name]), array.name
    bound = [array.name for array in layout.at_home(Home.TRACE)]
    assert bound == [name for row in _rows(5) for name in _names(row[0])]


def _names(cell: str) -> list[str]:
    names = re.findall(r"`([^`]+)`", cell)
    parts = [name for name in names if name.startswith(".")]
    return [name + part for name in names if name not in parts for part in parts] if parts else names


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_array_of_a_unit_has_its_width(layout: Layout) -> None:
    """Section 6; the levels of a sum stand there once."""
    encoder = bool(layout.text.config.encoder)
    told: dict[str, dict[str, int]] = {}
    for row in _rows(6):
        unit = re.sub(r"`| \(encoder\)", "", row[0])
        if "(encoder)" in row[0] and not encoder:
            continue
        told[unit] = SHORT | {part: int(width) for part, width in re.findall(r"`([\w.]+)` \((\d)\)", row[2])}
    told["final"] = told["norm"]
    for array in layout.all:
        if array.home is Home.UNIT:
            unit = re.sub(r"^\w+_sums$", "<matrix>_sums", array.unit)
            part = re.sub(r"\.\d+$", ".n", array.name.removeprefix(f"{array.unit}."))
            assert told[unit][part] == array.kind.width, array.name


def test_every_step_of_every_shape_is_within_the_bars(capsys: pytest.CaptureFixture[str]) -> None:
    """300,000 gas under EIP-7623 and 450,000 at 64 a byte; the page says what is computed from the measured gas."""
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_every_array_that_a_node_shows_has_its_steps() -> None:
    """An array that no step is about could hold anything."""
    for layout in LAYOUTS:
        about = {operation.array for operation in operations(layout).values()}
        shown = (array for array in layout.all if array.home not in (Home.MODEL, Home.PROMPT))
        assert {array.name for array in shown if not array.name.endswith("_at")} <= about


def test_the_solidity_pieces_are_those_that_the_table_uses() -> None:
    """Each measured figure stands in the snapshot that `forge test` compares."""
    pieces = (Path(PAGE).parent / "test" / "gas" / "Steps.t.sol").read_text()
    assert all(f'keep("{name}"' in pieces for name in chain(("pair", "leaf", "sha_pair"), ("dot64", "score256")))
