"""A tiny native model of fixed integers, in any of the settings."""

from collections.abc import Callable

import pytest
import torch

from node_agent.devices.self_test import REFERENCE_CONFIG, reference_state
from node_agent.execution.native.model import NativeLlama
from node_agent.execution.native.settings import Settings

MakeModel = Callable[..., NativeLlama]


@pytest.fixture(scope="session")
def make_model() -> MakeModel:
    """Builds the self-test's reference Llama under settings; another seed is another model."""

    def make(seed: int = 1, **settings: object) -> NativeLlama:
        state = reference_state(REFERENCE_CONFIG, seed)
        chosen = Settings(**settings)  # type: ignore[arg-type]
        return NativeLlama.from_state(REFERENCE_CONFIG, state, state.__getitem__, chosen, torch.device("cpu"))

    return make
