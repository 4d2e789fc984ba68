"""Fixtures: a tiny seeded Llama on disk for fast tests, and SmolLM2-135M for those that need a real model."""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
import torch

from contracts.protocol.manifest import Manifest
from node_agent.devices import numeric_class, self_test
from node_agent.execution.floats.generation import FloatGeneration
from node_agent.execution.kinds import float_generation
from node_agent.execution.model_files import CONFIG_KEY, ModelFiles, sha256_file, write_safetensors
from node_agent.execution.sandbox import client
from node_agent.models import ModelStore
from tests.world.node_fakes import BYTE_TOKENIZER
from tests.world.prompts import CHAT

TINY_OVERHEAD = len(CHAT.before) + len(CHAT.after)
"""Tokens of the chat template with one token a byte."""

MakeManifest = Callable[..., Manifest]
MakeDeadly = Callable[[bytes], list[client.Process]]

CRASHES = """
import ctypes, sys, time
from node_agent.execution.sandbox import executor

take = executor._Server.take

def crash_or_take(server, call, request):
    if getattr(request, "input", b"").hex() == sys.argv[1]:
        time.sleep(0.5)  # what was asked at the same time is under way by then
        ctypes.string_at(0)
    take(server, call, request)

executor._Server.take = crash_or_take
executor.main()
"""


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


def tiny_tokenizer() -> dict[str, object]:
    """A tokenizer.json with one token a byte and the three control tokens."""
    parsed: dict[str, object] = json.loads(BYTE_TOKENIZER)
    return parsed


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """The self-test's reference Llama as a model on disk."""
    folder = tmp_path_factory.mktemp("tiny")
    weights, tokenizer, config = folder / "model.safetensors", folder / "tokenizer.json", folder / "config.json"
    config.write_text(json.dumps(asdict(self_test.REFERENCE_CONFIG)))
    tokenizer.write_text(json.dumps(tiny_tokenizer()))
    state = {name: tensor.numpy() for name, tensor in self_test.reference_state(self_test.REFERENCE_CONFIG).items()}
    metadata = {CONFIG_KEY: hashlib.sha256(config.read_bytes()).hexdigest()}
    write_safetensors(weights, {name: array.shape for name, array in state.items()}, state.__getitem__, metadata)
    return ModelFiles(weights, tokenizer, config, sha256_file(weights), sha256_file(tokenizer))


@pytest.fixture
def make_deadly(monkeypatch: pytest.MonkeyPatch) -> MakeDeadly:
    """Makes every confined process started from now on crash over an input. Returns those that were, and will be."""

    def make(input_bytes: bytes) -> list[client.Process]:
        started: list[client.Process] = []
        start = client.Process

        def recorded(*told: Any) -> client.Process:
            started.append(start(*told))
            return started[-1]

        monkeypatch.setattr(client, "_PROGRAM", [sys.executable, "-c", CRASHES, input_bytes.hex()])
        monkeypatch.setattr(client, "Process", recorded)
        return started

    return make


@pytest.fixture(scope="session")
def make_manifest() -> MakeManifest:
    """Builds a manifest of this host's class for some files; keyword arguments replace fields."""

    def make(files: ModelFiles, **changes: object) -> Manifest:
        fields: dict[str, object] = {
            "kind": "float_generation",
            "unit": "completion token",
            "meter": "new_tokens",
            "model": "tiny",
            "weights_sha256": files.weights_sha256,
            "tokenizer_sha256": files.tokenizer_sha256,
            "engine_version": FloatGeneration.version,
            "numeric_class": numeric_class.current("cpu").digest,
            "params": {"max_new_tokens": {"minimum": 1, "maximum": 40}},
            "input": {"max_texts": 4, "max_bytes": 200, "max_tokens": 260},
            **CHAT.fields(),
            "check_price_units": 10,
            "deterrence": {
                "honest_cost_ppm": 700_000,
                "cheat_cost_ppm": 100_000,
                "detection_ppm": 990_000,
                "collusion_ppm": 100_000,
                "false_alarm_ppm": 1_000,
            },
        }
        return Manifest.model_validate(fields | changes)

    return make


@pytest.fixture
def tiny_engine(tiny_files: ModelFiles, make_manifest: MakeManifest) -> FloatGeneration:
    """An engine of the tiny model, fresh for each test so that tests may spoil it."""
    return FloatGeneration.load(tiny_files, make_manifest(tiny_files), "cpu")


@pytest.fixture(scope="session")
def smollm_files() -> ModelFiles:
    """SmolLM2-135M from the store in $ASSAY_MODELS or ~/.assay/models, pulled if it is not there."""
    return ModelStore().pull("smollm2-135m")


@pytest.fixture(scope="session")
def smollm_manifest(smollm_files: ModelFiles, make_manifest: MakeManifest) -> Manifest:
    """A workload of SmolLM2-135M with room for ordinary prompts."""
    room = {"max_texts": 4, "max_bytes": 8192, "max_tokens": 1024}
    words = float_generation.MODELS["smollm2-135m"].wording.fields()
    return make_manifest(smollm_files, model="smollm2-135m", input=room, **words)


@pytest.fixture
def smollm_engine(smollm_files: ModelFiles, smollm_manifest: Manifest) -> FloatGeneration:
    """An engine of SmolLM2-135M, fresh for each test so that tests may spoil it."""
    return FloatGeneration.load(smollm_files, smollm_manifest, "cpu")


@pytest.fixture
def tiny_gguf_parts() -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    """State and tokenizer of the tiny model, from which a test builds a GGUF file."""
    return self_test.reference_state(self_test.REFERENCE_CONFIG), tiny_tokenizer()
