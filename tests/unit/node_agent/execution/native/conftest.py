"""A tiny native model of fixed integers, in any of the settings."""

from collections.abc import Callable

import pytest
import torch

from contracts.protocol.manifest import Manifest
from node_agent.devices.self_test import REFERENCE_CONFIG, reference_state
from node_agent.execution import kinds
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.native.engine import NativeGeneration
from node_agent.execution.native.model import NativeLlama
from node_agent.execution.native.settings import NativeSettings
from tests.world.prompts import asked

MakeModel = Callable[..., NativeLlama]
INPUT = asked(["What is 2 + 2?", "Name a colour."])
PARAMS = {"max_new_tokens": 12, "temperature_milli": 900, "seed": 7}
RANGES = {
    "max_new_tokens": {"minimum": 1, "maximum": 40},
    "temperature_milli": {"minimum": 0, "maximum": 2000},
    "seed": {"minimum": 0, "maximum": 2**53 - 1},
}
MakeNative = Callable[..., Manifest]


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """Builds the self-test's reference Llama under settings; another seed is another model."""

    def make(seed: int = 1, **settings: object) -> NativeLlama:
        state = reference_state(REFERENCE_CONFIG, seed)
        chosen = NativeSettings(**settings)  # type: ignore[arg-type]
        return NativeLlama.from_state(REFERENCE_CONFIG, state, state.__getitem__, chosen, torch.device("cpu"))

    return make


@pytest.fixture(scope="session")
def make_native(make_manifest: Callable[..., Manifest], tiny_files: ModelFiles) -> MakeNative:
    """Manifests of the tiny model for this engine."""

    def make(**changes: object) -> Manifest:
        fields = {
            "kind": "native_generation",
            "engine": NativeGeneration.name,
            "engine_version": NativeGeneration.version,
            "check": "prefill",
            "comparator": "native",
            "dtype": "float32",
            "numeric_class": None,
            "params": RANGES,
        }
        return make_manifest(tiny_files, **fields | changes)

    return make


@pytest.fixture(scope="session")
def engine(make_native: MakeNative, tiny_files: ModelFiles) -> NativeGeneration:
    """This host's."""
    found = kinds.load(tiny_files, make_native(), "cpu")
    assert isinstance(found, NativeGeneration)
    return found
