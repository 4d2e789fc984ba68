"""The small changes: found in the compiler's syntax tree, made in the source's text.

What a refusal says (the arguments of `revert`) is not changed: tests that name the error alone are enough.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Node = dict[str, Any]

_RELATIONAL = {"<": ("<=", ">="), "<=": ("<", ">"), ">": (">=", "<="), ">=": (">", "<"), "==": ("!=",), "!=": ("==",)}
_ARITHMETIC = {"+": "-", "-": "+", "*": "/", "/": "*", "%": "*", "<<": ">>", ">>": "<<", "|": "&", "&": "|"}
_ASSIGNMENT = {"+=": "-=", "-=": "+=", "|=": "&="}
_YUL = {"add": "sub", "sub": "add", "shl": "shr", "shr": "shl", "and": "or", "or": "and", "lt": "gt", "gt": "lt"}


@dataclass(frozen=True)
class Mutant:
    """One change: the bytes from `start` to `end` of `file` become `after`."""

    file: str
    line: int
    function: str
    operator: str
    start: int
    end: int
    before: str
    after: str

    def apply(self, text: str) -> str:
        data = text.encode()
        return (data[: self.start] + self.after.encode() + data[self.end :]).decode()


def find(file: str, text: str, tree: Node) -> list[Mutant]:
    """Every mutant of a file, in the order of its text."""
    return sorted(set(_Finder(file, text.encode()).walk(tree, "")), key=lambda m: (m.start, m.end, m.operator, m.after))


def sample(mutants: Sequence[Mutant], wanted: int, seed: int) -> list[Mutant]:
    """At most `wanted` of them: one of every function, the rest by how many each has; within a function the operators
    take turns. Raises ValueError if there are more functions than wanted mutants."""
    rng = random.Random(seed)
    functions: dict[tuple[str, str], list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        functions[mutant.file, mutant.function].append(mutant)
    if wanted < len(functions):
        raise ValueError(f"{wanted} mutants cannot reach all {len(functions)} functions")
    rate = (wanted - len(functions)) / len(mutants)
    chosen = [
        mutant for members in functions.values() for mutant in _by_turns(members, rng)[: 1 + int(rate * len(members))]
    ]
    return sorted(chosen, key=lambda m: (m.file, m.start, m.end, m.after))


def _by_turns(mutants: list[Mutant], rng: random.Random) -> list[Mutant]:
    piles: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        piles[mutant.operator].append(mutant)
    for pile in piles.values():
        rng.shuffle(pile)
    names = sorted(piles)
    rng.shuffle(names)
    ordered: list[Mutant] = []
    while any(piles.values()):
        ordered += [piles[name].pop() for name in names if piles[name]]
    return ordered


class _Finder:
    def __init__(self, file: str, data: bytes) -> None:
        self.file, self.data = file, data

    def walk(self, node: Any, function: str) -> Iterator[Mutant]:
        if isinstance(node, list):
            for child in node:
                yield from self.walk(child, function)
        if not isinstance(node, dict):
            return
        kind = node.get("nodeType")
        if kind == "RevertStatement":
            return
        if kind in ("FunctionDefinition", "ModifierDefinition"):
            function = node["name"] or node["kind"]
        elif kind == "VariableDeclaration" and node.get("constant"):
            function = node["name"]
        if kind is not None and function:
            make = getattr(self, f"_{kind}", None)
            for start, end, operator, after in make(node) if make else ():
                yield self._mutant(function, operator, start, end, after)
        for name, child in node.items():
            if name not in ("typeName", "documentation", "nativeSrc", "externalReferences", "baseFunctions"):
                yield from self.walk(child, function)

    def _mutant(self, function: str, operator: str, start: int, end: int, after: str) -> Mutant:
        line = self.data.count(b"\n", 0, start) + 1
        return Mutant(self.file, line, function, operator, start, end, self.data[start:end].decode(), after)

    def _span(self, node: Node) -> tuple[int, int]:
        start, length, _ = map(int, node["src"].split(":"))
        return start, start + length

    def _text(self, node: Node) -> str:
        start, end = self._span(node)
        return self.data[start:end].decode()

    def _statement(self, node: Node) -> tuple[int, int, str, str]:
        start, end = self._span(node)
        return start, end + 1, "delete statement", "{}"  # with its semicolon

    # ------------------------------------------------------------ Solidity

    def _BinaryOperation(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        left, right, operator = node["leftExpression"], node["rightExpression"], node["operator"]
        start, end = self._span(left)[1], self._span(right)[0]
        gap = self.data[start:end].decode()
        for other in _RELATIONAL.get(operator, ()):
            yield start, end, "relational", gap.replace(operator, other, 1)
        if operator in _ARITHMETIC:
            yield start, end, "arithmetic", gap.replace(operator, _ARITHMETIC[operator], 1)
        if operator in ("+", "-", "*"):
            yield *self._span(node), "off by one", f"({self._text(node)} + 1)"
        if operator in ("&&", "||"):
            yield start, end, "boolean", gap.replace(operator, "||" if operator == "&&" else "&&", 1)
            neutral = "true" if operator == "&&" else "false"
            yield *self._span(left), "boolean", neutral
            yield *self._span(right), "boolean", neutral

    def _UnaryOperation(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        start, end = self._span(node)
        text = self._text(node)
        swapped = {"++": "--", "--": "++", "!": ""}.get(node["operator"])
        if swapped is not None:
            yield start, end, "boolean" if swapped == "" else "arithmetic", text.replace(node["operator"], swapped, 1)

    def _Assignment(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        if node["operator"] in _ASSIGNMENT:
            start, end = self._span(node["leftHandSide"])[1], self._span(node["rightHandSide"])[0]
            gap = self.data[start:end].decode()
            yield start, end, "arithmetic", gap.replace(node["operator"], _ASSIGNMENT[node["operator"]], 1)

    def _IfStatement(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        start, end = self._span(node["condition"])
        yield start, end, "boolean", f"!({self._text(node['condition'])})"
        yield start, end, "drop check" if reverts(node["trueBody"]) else "boolean", "false"
        if not reverts(node["trueBody"]):
            yield start, end, "boolean", "true"

    def _Conditional(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        start, end = self._span(node["condition"])
        yield start, end, "boolean", f"!({self._text(node['condition'])})"

    def _Literal(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        start, end = self._span(node)
        if node["kind"] == "bool":
            yield start, end, "constant", "false" if node["value"] == "true" else "true"
        elif node["kind"] == "number":
            value = int(node["value"].replace("_", ""), 0)
            yield start, end, "constant", str(value + 1)
            if value > 1:
                yield start, end, "constant", "0"
        elif node["kind"] == "string" and node["value"]:
            yield start, end, "constant", f'"{node["value"]} "'

    def _MemberAccess(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        if node["memberName"] == "max":
            yield *self._span(node), "constant", f"{self._text(node)} / 2"

    def _ExpressionStatement(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        if self.data[self._span(node)[1] :].startswith(b";"):  # not in the head of a loop
            yield self._statement(node)

    def _EmitStatement(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        yield self._statement(node)

    def _Return(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        if node.get("expression"):
            yield self._statement(node)

    def _UncheckedBlock(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        start, _ = self._span(node)
        yield start, start + len("unchecked"), "width", ""

    def _ModifierInvocation(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        if node["kind"] == "modifierInvocation":
            yield *self._span(node), "drop modifier", ""

    def _FunctionCall(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        given = node["arguments"]
        if node["kind"] == "typeConversion":
            bits = _bits(node["typeDescriptions"]["typeString"])
            if bits > 8 and _bits(given[0]["typeDescriptions"]["typeString"]):
                narrow = bits // 16 * 8
                yield *self._span(given[0]), "width", f"uint{narrow}({self._text(given[0])})"
            return
        for first, second in pairwise(given):
            texts = self._text(first), self._text(second)
            if texts[0] != texts[1] and _same_type(first, second):
                start, end = self._span(first)[0], self._span(second)[1]
                between = self.data[self._span(first)[1] : self._span(second)[0]].decode()
                yield start, end, "swap arguments", f"{texts[1]}{between}{texts[0]}"

    # ------------------------------------------------------------ assembly

    def _YulFunctionCall(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        name = node["functionName"]
        if name["name"] in _YUL:
            yield *self._span(name), "assembly", _YUL[name["name"]]
        if name["name"] in ("lt", "gt"):
            yield *self._span(node), "assembly", f"iszero({_YUL[name['name']]}{self._text(node)[2:]})"
        if name["name"] == "iszero":
            yield *self._span(node), "assembly", self._text(node["arguments"][0])

    def _YulLiteral(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        if node["kind"] == "number":
            value = int(node["value"], 0)
            yield *self._span(node), "assembly", str(value + 1)
            yield *self._span(node), "assembly", str(value // 2)

    def _YulExpressionStatement(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        yield *self._span(node), "assembly", "{}"

    def _YulAssignment(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        yield *self._span(node), "assembly", "{}"

    def _YulBreak(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        yield *self._span(node), "assembly", "{}"

    def _YulIf(self, node: Node) -> Iterator[tuple[int, int, str, str]]:
        yield *self._span(node["condition"]), "assembly", f"iszero({self._text(node['condition'])})"


def reverts(body: Node) -> bool:
    """Whether a branch does nothing but refuse."""
    statements = body.get("statements", [body])
    return [statement["nodeType"] for statement in statements] == ["RevertStatement"]


def _bits(type_name: str) -> int:
    """Width of an unsigned integer type; 0 for every other."""
    digits = type_name.removeprefix("uint")
    return int(digits) if type_name.startswith("uint") and digits.isdigit() else 0


def _same_type(first: Node, second: Node) -> bool:
    """Whether the one may stand where the other does, as far as their types say."""
    names = [node["typeDescriptions"]["typeString"].removesuffix(" calldata") for node in (first, second)]
    return names[0] == names[1] or all(_bits(name) for name in names)
