"""Creation codes of many mutants from one run of solc: behind switches where they can be, else side by side.

They are compiled through the IR, without which the contracts do not fit the stack, and with the optimizer's steps left
out: it takes a third of the time, and what the code does is the same; the baseline of every campaign is compiled so
too and has to pass all tests.
"""

import hashlib
import json
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.tools.mutation import sources, switches
from contracts.tools.mutation.operators import Mutant
from contracts.tools.mutation.sources import ROOT, Host
from contracts.tools.mutation.switches import Place

SWITCHED = 40  # mutants behind switches of one contract
ALONE = 8  # mutants compiled beside each other
SETTINGS = {
    "remappings": ["@openzeppelin/=node_modules/@openzeppelin/", "src/=src/"],
    "evmVersion": "prague",
    "viaIR": True,
    "metadata": {"bytecodeHash": "none", "appendCBOR": False},
    "optimizer": {
        "enabled": False,
        "details": {"peephole": True, "yul": True, "yulDetails": {"stackAllocation": True, "optimizerSteps": ":"}},
    },
}
Codes = dict[Host, str]


@dataclass(frozen=True)
class Compiled:
    """A mutant's codes. `control`: those of the same compilation with its switches at no mutant; None without switches.
    The control has to pass every test, else it is the switches that the tests see and not the mutant."""

    codes: Codes
    control: Codes | None


class DoesNotCompileError(Exception):
    """The unchanged sources do not compile; the message is solc's."""


def trees(files: Sequence[str]) -> dict[str, Any]:
    """Syntax tree of each file."""
    texts = {name: sources.text_of(name) for file in files for name in sources.closure(file)}
    answer = _solc(texts, {"*": {"": ["ast"]}})
    if _errors(answer):
        raise DoesNotCompileError(_errors(answer)[0]["formattedMessage"])
    return {file: answer["sources"][file]["ast"] for file in files}


def compile_baseline() -> Codes:
    """What every host's code is without any change. Raises DoesNotCompileError."""
    texts = {name: sources.text_of(name) for host in sources.HOSTS for name in sources.closure(host.file)}
    answer = _solc(texts, {host.file: {host.contract: ["evm.bytecode.object"]} for host in sources.HOSTS})
    if _errors(answer):
        raise DoesNotCompileError(_errors(answer)[0]["formattedMessage"])
    return {host: _code(answer, host.file, host) for host in sources.HOSTS}


def compile_mutants(
    mutants: Sequence[Mutant], cache: Path, progress: Callable[[int], None]
) -> dict[Mutant, Compiled | None]:
    """The codes of each mutant's hosts; None for one that does not compile. Kept in `cache` by content."""
    cache.mkdir(parents=True, exist_ok=True)
    found: dict[Mutant, Compiled | None] = {}
    by_file: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        known = cache / key(mutant)
        if known.exists():
            found[mutant] = _from_json(mutant, json.loads(known.read_text()))
        else:
            by_file[mutant.file].append(mutant)
    for file, members in by_file.items():
        for codes in _compile_file(file, members):
            found |= codes
            for mutant, code in codes.items():
                (cache / key(mutant)).write_text(json.dumps(_to_json(code)))
            progress(len(found))
    return found


def _compile_file(file: str, mutants: list[Mutant]) -> Iterator[dict[Mutant, Compiled | None]]:
    places = switches.places(sources.text_of(file).encode(), trees([file])[file])
    alone = [mutant for mutant in mutants if switches.place_of(mutant, places) is None]
    together = [mutant for mutant in mutants if switches.place_of(mutant, places) is not None]
    for start in range(0, len(together), SWITCHED):
        codes, rejected = _compile_switched(file, together[start : start + SWITCHED], places)
        alone += rejected
        yield codes
    for start in range(0, len(alone), ALONE):
        yield _compile_alone(alone[start : start + ALONE])


def _compile_switched(
    file: str, mutants: list[Mutant], places: Sequence[Place]
) -> tuple[dict[Mutant, Compiled | None], list[Mutant]]:
    """Codes of the mutants that compile behind a switch, and the mutants that do not."""
    if not mutants:
        return {}, []
    numbered = list(enumerate(mutants, start=1))
    switched = switches.switch(sources.text_of(file).encode(), numbered, places)
    answer = _solc(*_request({"m": (file, switched.text)}))
    errors = _errors(answer)
    if not errors:
        common = {host: _code(answer, f"m/{host.file}", host) for host in sources.hosts_of(file)}
        by_number = [{host: switches.select(code, n) for host, code in common.items()} for n in range(len(mutants) + 1)]
        return {mutant: Compiled(by_number[number], by_number[0]) for number, mutant in numbered}, []
    broken = {switched.at(error["sourceLocation"]["start"]) for error in errors if _names(error, f"m/{file}")} - {None}
    if broken:
        codes, rejected = _compile_switched(file, [mutant for mutant in mutants if mutant not in broken], places)
        return codes, rejected + [mutant for mutant in mutants if mutant in broken]
    if len(mutants) == 1:
        return {}, mutants
    half = len(mutants) // 2  # an error that is no one mutant's: too much at once
    first, second = (_compile_switched(file, part, places) for part in (mutants[:half], mutants[half:]))
    return first[0] | second[0], first[1] + second[1]


def _compile_alone(mutants: list[Mutant]) -> dict[Mutant, Compiled | None]:
    """Each mutant under a path of its own."""
    if not mutants:
        return {}
    copies = {f"m{n}": (m.file, m.apply(sources.text_of(m.file))) for n, m in enumerate(mutants)}
    answer = _solc(*_request(copies))
    errors = _errors(answer)
    if not errors:
        return {
            mutant: Compiled(
                {host: _code(answer, f"m{number}/{host.file}", host) for host in sources.hosts_of(mutant.file)}, None
            )
            for number, mutant in enumerate(mutants)
        }
    broken = {number for number in range(len(mutants)) if any(_names(error, f"m{number}/") for error in errors)}
    if not broken:  # an error that names no file: halve until it is found
        if len(mutants) == 1:
            return {mutants[0]: None}
        half = len(mutants) // 2
        return _compile_alone(mutants[:half]) | _compile_alone(mutants[half:])
    sound = [mutant for number, mutant in enumerate(mutants) if number not in broken]
    return _compile_alone(sound) | {mutants[number]: None for number in broken}


def _request(copies: dict[str, tuple[str, str]]) -> tuple[dict[str, str], dict[str, Any]]:
    """Sources and wanted outputs for changed files under their prefixes."""
    texts: dict[str, str] = {}
    wanted: dict[str, Any] = {}
    for prefix, (file, text) in copies.items():
        texts |= sources.copy_under(prefix, file, text)
        for host in sources.hosts_of(file):
            wanted[f"{prefix}/{host.file}"] = {host.contract: ["evm.bytecode.object"]}
            texts |= {name: sources.text_of(name) for name in sources.closure(host.file)}
    return texts, wanted


def _names(error: Any, prefix: str) -> bool:
    return str((error.get("sourceLocation") or {}).get("file", "")).startswith(prefix)


def _solc(texts: dict[str, str], wanted: dict[str, Any]) -> Any:
    request = {
        "language": "Solidity",
        "sources": {name: {"content": text} for name, text in texts.items()},
        "settings": SETTINGS | {"outputSelection": wanted},
    }
    done = subprocess.run(
        ["node", "tools/solc.js", "--standard-json"],
        cwd=ROOT,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def _errors(answer: Any) -> list[Any]:
    return [error for error in answer.get("errors", ()) if error["severity"] == "error"]


def _code(answer: Any, file: str, host: Host) -> str:
    return "0x" + str(answer["contracts"][file][host.contract]["evm"]["bytecode"]["object"])


def key(mutant: Mutant, *more: str) -> str:
    """File name for what is known of a mutant: of its code, and of whatever else is named."""
    changed = mutant.apply(sources.text_of(mutant.file))
    parts = (json.dumps(SETTINGS), sources.fingerprint(mutant.file), mutant.file, changed, *more)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest() + ".json"


def _to_json(compiled: Compiled | None) -> list[dict[str, str] | None] | None:
    return None if compiled is None else [_named(compiled.codes), _named(compiled.control)]


def _named(codes: Codes | None) -> dict[str, str] | None:
    return None if codes is None else {host.contract: code for host, code in codes.items()}


def _from_json(mutant: Mutant, value: list[dict[str, str] | None] | None) -> Compiled | None:
    if value is None:
        return None
    codes, control = ({} if part is None else _of_hosts(mutant, part) for part in value)
    return Compiled(codes, control or None)


def _of_hosts(mutant: Mutant, named: dict[str, str]) -> Codes:
    return {host: named[host.contract] for host in sources.hosts_of(mutant.file)}
