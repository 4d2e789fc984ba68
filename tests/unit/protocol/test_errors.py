"""One base for every error: who catches it reads its code, its values and the way out, and parses no prose."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

from bench.house import parsed
from contracts.onchain.errors import BadAddress, Reverted
from contracts.onchain.keystore import load_key
from contracts.protocol.errors import AssayError, BadSignature
from contracts.record.errors import RowUnknown, WrongFact
from node_agent.doctor.findings import tried
from node_agent.errors import NoAnswer, NotFunded
from verifier.errors import BackendSilent

ROOT = Path(__file__).parents[3]
PRODUCT = ("backend", "contracts", "deploy", "node_agent", "verifier")
OTHERS = {"_Refused", "RpcError", "BannedOperation", "_Over"}
"""Inside one module: of a JSON reader, of JSON-RPC with its number, of a self-test, of an executor that ended."""


def test_values_areWhatItWasRaisedWith() -> None:
    """Protects whoever handles an error by machine: positional and named values alike have their names."""
    assert RowUnknown(3, 7, "no such row").values == {"epoch_id": 3, "index": 7, "why": "no such row"}
    assert WrongFact("a rule", expected=1, found=2).values == {"rule": "a rule", "expected": 1, "found": 2}
    assert NotFunded("The owner is poor.", way_out="Send ether.", has_wei=1).values == {"has_wei": 1}
    assert Reverted("Full", (1,)).values == {"error": "Full", "arguments": (1,)}


def test_words_areTheMessageAndTheWayOut() -> None:
    """Protects readers: nothing that an error knows is left out of its words, and nothing is said twice."""
    error = BadAddress(name="--to", value="me")
    assert (error.code, error.message) == ("bad_address", "--to = 'me' is not an address")
    assert str(error) == f"{error.message}; {error.way_out}"
    sentence = NotFunded("The owner is poor.", way_out="Send ether.")
    assert str(sentence) == "The owner is poor. Send ether."
    assert isinstance(BadSignature("is short"), ValueError), "pydantic must take it for a field's fault"


def test_theDoctor_showsAnyErrorsWayOut(tmp_path: Path) -> None:
    """Protects operators: the doctor tells what to do, whichever package the error came from."""
    (found,) = tried("key", lambda: [load_key(tmp_path / "none.json", "password") and pytest.fail("no key is there")])
    assert (found.level, found.says) == ("FAIL", f"keystore: no key file at {tmp_path / 'none.json'}")
    assert found.fix == "make one first, e.g. with `assay keys new`"


def test_everyErrorOfTheProduct_hasTheOneBase() -> None:
    """Protects the base: a new error beside it would have no way out, and be caught by nobody."""
    for path in (path for package in PRODUCT for path in (ROOT / package).rglob("*.py")):
        if {"node_modules", "tools", "model"} & set(path.parts):
            continue
        for node in ast.walk(parsed(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name not in OTHERS | {AssayError.__name__}:
                bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
                assert not bases & {"Exception", "RuntimeError", "OSError", "KeyError"}, f"{path}: {node.name}"


def test_codes_areTheClassesNames_unlessTheyStateAnother() -> None:
    """Protects clients: codes are on the wire, so a class that is renamed keeps its old code by stating it."""
    assert (RowUnknown.code, BadAddress.code) == ("row_unknown", "bad_address")
    assert NoAnswer.code == BackendSilent.code == "backend_unavailable"
    assert (ROOT / "tests" / "unit" / "protocol" / "error_codes.txt").read_text().split("\n")[:-1] == sorted(
        {kind.code for kind in _kinds(AssayError) if not kind.__name__.startswith("_")}
    )


def _kinds(base: type[AssayError]) -> list[type[AssayError]]:
    """Every error of the product, all of its modules being imported."""
    for path in (path for package in PRODUCT for path in (ROOT / package).rglob("*errors.py")):
        if not {"node_modules", "tools", "model"} & set(path.parts):
            import_module(str(path.relative_to(ROOT).with_suffix("")).replace("/", "."))
    return [each for kind in base.__subclasses__() for each in (kind, *_kinds(kind)) if _is_ours(each)]


def _is_ours(kind: type[AssayError]) -> bool:
    return kind.__module__.endswith("errors")
