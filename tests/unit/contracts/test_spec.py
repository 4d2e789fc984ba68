"""SPEC.md and the contracts' interfaces name the same things, so that neither can change alone."""

import re
from pathlib import Path
from typing import Any

import pytest

from contracts.onchain.artifacts import artifact

SPEC = Path(__file__).parents[3] / "contracts" / "SPEC.md"
SECTIONS = {"JobEscrow": 6, "StakeManager": 7, "SlashingCourt": 8, "Contests": 15, "Origin": 16}


def _items(contract: str, kind: str) -> list[dict[str, Any]]:
    """Of the contract's own: OpenZeppelin's errors have no `_`, and its one event is never emitted."""
    named = [item for item in artifact(contract).abi if item["type"] == kind]
    return [one for one in named if one["name"] != "EIP712DomainChanged" and (kind != "error" or "_" in one["name"])]


def _section(contract: str) -> str:
    found = re.search(rf"^## {SECTIONS[contract]} {contract}s?\n(.*?)(?=^## |\Z)", SPEC.read_text(), re.M | re.S)
    assert found is not None
    return found[1]


def _rows(contract: str) -> dict[str, list[str]]:
    """Function -> the cells of its row: the columns of section 6 are who, needs, changes, emits, fails with."""
    lines = [line for line in _section(contract).splitlines() if line.startswith("| `")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    return {name: cells[1:] for cells in rows for name in re.findall(r"`(\w+)\(", cells[0])}


@pytest.mark.parametrize("contract", SECTIONS)
def test_every_function_that_changes_something_has_its_row(contract: str) -> None:
    """Who may call it, what it needs, changes, emits and fails with."""
    acting = {item["name"] for item in _items(contract, "function") if item["stateMutability"] == "nonpayable"}
    assert acting == _rows(contract).keys() & acting
    assert all(cells[-1] for cells in _rows(contract).values())


@pytest.mark.parametrize("contract", sorted(SECTIONS.keys() - {"Origin"}))
def test_every_event_is_emitted_by_a_row_and_has_its_fields(contract: str) -> None:
    emitted = " ".join(cells[3] for cells in _rows(contract).values())
    for item in _items(contract, "event"):
        name, fields = item["name"], [argument["name"] for argument in item["inputs"]]
        assert f"`{name}`" in emitted, f"no function emits {name}"
        told = re.search(rf"`{name}\(([^)]*)\)", _section(contract))
        assert told is not None, f"{name} has no list of its fields"
        assert [part.split()[0] for part in told[1].split(", ") if part] == fields, name


@pytest.mark.parametrize("contract", SECTIONS)
def test_every_error_is_named_in_its_section(contract: str) -> None:
    """By its whole name, or without its contract's."""
    told = _section(contract) + _section("JobEscrow")  # which names the groups
    for item in _items(contract, "error"):
        name = item["name"]
        prefix, short = name.split("_")
        either = f"{name}|{short}" if prefix in SECTIONS else name
        assert re.search(rf"`({either})\b", told), f"{name} is not in section {SECTIONS[contract]}"


@pytest.mark.parametrize("contract", SECTIONS)
def test_no_row_names_what_is_not_there(contract: str) -> None:
    """An error or an event that a row names is one of the contracts'."""
    known = {item["name"] for one in SECTIONS for item in artifact(one).abi if item["type"] in ("error", "event")}
    for function, cells in _rows(contract).items():
        for name in re.findall(r"(?<!as )`(\w+)`", " ".join(cells[3:])):
            assert {name, f"{contract}_{name}", f"JobEscrow_{name}"} & known, f"{function}: {name}"
