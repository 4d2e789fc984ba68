"""Many mutants in one contract: at each changed place a switch asks which mutant is meant.

A statement `s;` with a mutant becomes `{ if (mutant() == 1) { s1; } else { s; } }`, an expression in the head of a
loop, a condition or a declaration `(mutant() == 1 ? e1 : e)`. `mutant()` answers a constant that stands in the compiled
code as 32 bytes that occur nowhere else; writing a mutant's number there makes that mutant's code. So a contract is
compiled once for dozens of mutants. What no switch can express (a modifier, `unchecked`, a constant) is compiled alone.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts.tools.mutation.operators import Mutant, Node, reverts

_MAGIC = "6d757461" * 8
_FUNCTION = f"function mutant() pure returns (uint256 which) {{ assembly {{ which := 0x{_MAGIC} }} }}\n"


@dataclass(frozen=True, order=True)
class Place:
    """Where a switch may stand, in bytes of the source."""

    start: int
    end: int
    is_statement: bool

    def holds(self, mutant: Mutant) -> bool:
        return self.start <= mutant.start and mutant.end <= self.end


@dataclass
class Switched:
    """A source with switches, and which of its bytes are whose."""

    text: str
    ranges: list[tuple[int, int, Mutant]] = field(default_factory=list)

    def at(self, offset: int) -> Mutant | None:
        """The mutant whose text this byte is in."""
        return next((mutant for start, end, mutant in self.ranges if start <= offset < end), None)


def places(data: bytes, tree: Node) -> list[Place]:
    """Every place of a file, in order. No place lies within another."""
    return sorted(set(_places(data, tree)))


def place_of(mutant: Mutant, among: Sequence[Place]) -> Place | None:
    return next((place for place in among if place.holds(mutant)), None)


def switch(data: bytes, numbered: Sequence[tuple[int, Mutant]], among: Sequence[Place]) -> Switched:
    """The source with a switch for each numbered mutant, all of which have a place."""
    by_place: dict[Place, list[tuple[int, Mutant]]] = defaultdict(list)
    for number, mutant in numbered:
        place = place_of(mutant, among)
        assert place is not None
        by_place[place].append((number, mutant))
    result, ranges, done = b"", [], 0
    for place in sorted(by_place):
        result += data[done : place.start] + (b"{ " if place.is_statement else b"(")
        for number, mutant in by_place[place]:
            changed = data[place.start : mutant.start] + mutant.after.encode() + data[mutant.end : place.end]
            test = f"mutant() == {number}".encode()
            result += b"if (" + test + b") { " if place.is_statement else test + b" ? "
            ranges.append((len(result), len(result) + len(changed), mutant))
            result += changed + (b" } else " if place.is_statement else b" : ")
        original = data[place.start : place.end]
        result += b"{ " + original + b" } }" if place.is_statement else original + b")"
        done = place.end
    return Switched((result + data[done:]).decode() + _FUNCTION, ranges)


def select(code: str, number: int) -> str:
    """The code of one of the mutants; 0 is none of them."""
    return code.replace(_MAGIC, f"{number:064x}")


def _places(data: bytes, node: Any) -> Iterator[Place]:
    if isinstance(node, list):
        for child in node:
            yield from _places(data, child)
    if not isinstance(node, dict):
        return
    kind = node.get("nodeType")
    if kind in ("ExpressionStatement", "EmitStatement", "Return", "InlineAssembly"):
        start, end = _span(node)
        if kind == "InlineAssembly":
            yield Place(start, end, True)
        elif data[end : end + 1] == b";":
            yield Place(start, end + 1, True)
        else:
            yield Place(start, end, False)
        return
    if kind == "IfStatement" and reverts(node["trueBody"]):
        yield Place(*_span(node), True)
        return
    if kind in ("IfStatement", "WhileStatement", "ForStatement") and node.get("condition"):
        yield Place(*_span(node["condition"]), False)
    if kind == "VariableDeclarationStatement" and node.get("initialValue"):
        yield Place(*_span(node["initialValue"]), False)
        return
    for name in ("nodes", "body", "statements", "trueBody", "falseBody", "initializationExpression", "loopExpression"):
        yield from _places(data, node.get(name))


def _span(node: Node) -> tuple[int, int]:
    start, length, _ = map(int, node["src"].split(":"))
    return start, start + length
