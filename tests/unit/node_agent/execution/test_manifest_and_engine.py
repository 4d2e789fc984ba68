"""The workload's manifest as engines read it, and the port."""

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack
from node_agent.execution.engine import Engine, Execution
from node_agent.execution.errors import EngineMismatch
from node_agent.execution.floats.generation import FloatGeneration
from node_agent.execution.model_files import ModelFiles


def test_manifest_survives_its_canonical_form(tiny_engine: FloatGeneration) -> None:
    """A manifest read from its canonical bytes is the same workload."""
    manifest = tiny_engine.manifest
    again = Manifest.model_validate_json(manifest.canonical())
    assert again == manifest
    assert again.workload_id() == manifest.workload_id()


def test_every_field_decides_the_workload_id(tiny_files: ModelFiles, make_manifest: Callable[..., Manifest]) -> None:
    """What decides an answer is in the id that requesters sign."""
    plain = make_manifest(tiny_files).workload_id()
    for change in ({"engine_version": "9"}, {"numeric_class": "1" * 64}, {"check_price_units": 11}):
        assert make_manifest(tiny_files, **change).workload_id() != plain


@pytest.mark.parametrize("change", [{"surprise": 1}, {"weights_sha256": "ABC"}, {"check_price_units": 1.0}])
def test_loose_manifests_are_refused(
    tiny_files: ModelFiles, make_manifest: Callable[..., Manifest], change: dict[str, object]
) -> None:
    """Unknown fields, loose digests and floats have no place in something that is hashed."""
    with pytest.raises(ValidationError):
        make_manifest(tiny_files, **change)


def test_parameters_are_exactly_the_engines(tiny_files: ModelFiles, make_manifest: Callable[..., Manifest]) -> None:
    """A parameter that the engine would ignore must not look as if it were obeyed."""
    one = {"minimum": 1, "maximum": 4}
    changes: list[dict[str, object]] = [
        {"params": {"max_new_tokens": one, "seed": one}},
        {"params": {}, "meter": "input_tokens"},
        {"meter": "input_tokens"},
    ]
    for change in changes:
        with pytest.raises(EngineMismatch):
            FloatGeneration.load(tiny_files, make_manifest(tiny_files, **change), "cpu")


@pytest.mark.parametrize(
    "change",
    [
        {"params": {}},
        {"params": {"max_new_tokens": {"minimum": 0, "maximum": 4}}},
        {"params": {"max_new_tokens": {"minimum": 5, "maximum": 4}}},
        {"params": {"max_new_tokens": {"minimum": 1, "maximum": 4}, "top_k": {"minimum": 1, "maximum": 4}}},
        {"kind": "../evil"},
        {"kind": "_private"},
        {"input": {"max_texts": 0, "max_bytes": 1, "max_tokens": 1}},
    ],
)
def test_manifests_that_cannot_be_metered_are_refused(
    tiny_files: ModelFiles, make_manifest: Callable[..., Manifest], change: dict[str, object]
) -> None:
    """What every party must be able to bound, and a kind that names no file, are found before anything is offered."""
    with pytest.raises(ValidationError):
        make_manifest(tiny_files, **change)


def test_the_float_engine_is_an_engine(tiny_engine: FloatGeneration) -> None:
    """The type checker holds the port; this holds its constants against the manifest."""
    engine: Engine = tiny_engine
    manifest = tiny_engine.manifest
    assert (engine.name, engine.version, engine.check) == (manifest.engine, manifest.engine_version, manifest.check)


@pytest.mark.parametrize(
    ("output", "trace", "units"),
    [(pack([]), b"", 1), (pack([]), bytes(31), 1), (pack([]), bytes(32), -1), (b"", bytes(32), 1)],
)
def test_malformed_execution_cannot_be_made(output: bytes, trace: bytes, units: int) -> None:
    """A result that cannot be signed does not come into being, whoever made it: a process that was taken over, too. The
    loops of node and verifier would end at its root. Covers: A69"""
    with pytest.raises(ValueError, match=r"trace hash|units|packed words"):
        Execution(output=output, trace_hash=trace, units=units)
