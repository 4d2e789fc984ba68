"""Numeric class and self-test on the CPU."""

import hashlib
import json
from collections.abc import Callable

import pytest
import torch

from contracts.protocol.manifest import Manifest
from node_agent.devices import gpu, numeric_class, self_test
from node_agent.execution import determinism
from node_agent.execution.errors import NumericClassMismatch, SelfTestFailed
from node_agent.execution.floats.generation import FloatGeneration
from node_agent.execution.model_files import ModelFiles


def test_self_test_passes_and_repeats() -> None:
    """An honest host passes, every time with one trace."""
    first, second = self_test.run("cpu"), self_test.run("cpu")
    assert first == second
    assert "repetition" in first.checks


def test_self_test_finds_a_product_that_is_not_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortened mantissas (TF32, bf16) are found before anything is signed."""
    exact = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: exact(a.bfloat16(), b.bfloat16()).float())
    with pytest.raises(SelfTestFailed, match="integer products"):
        self_test.run("cpu")


def test_self_test_finds_a_host_that_does_not_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose arithmetic drifts is stopped."""
    models = iter([self_test.reference_model(torch.device("cpu"), seed) for seed in (1, 2)])
    monkeypatch.setattr(self_test, "reference_model", lambda device: next(models))
    with pytest.raises(SelfTestFailed, match="repetition"):
        self_test.run("cpu")


def test_numeric_class_is_the_hash_of_its_facts() -> None:
    """The digest in a manifest can be explained: it is made of facts that a person can read."""
    found = numeric_class.current("cpu")
    canonical = json.dumps(found.facts, sort_keys=True, separators=(",", ":")).encode()
    assert found.digest == hashlib.sha256(canonical).hexdigest()
    assert found.facts["torch"] == torch.__version__
    assert found.facts["switch threads"] == "1"


def test_kernel_switches_change_the_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that makes MKL or oneDNN choose other kernels makes another class."""
    before = numeric_class.current("cpu").digest
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert numeric_class.current("cpu").digest != before


def test_switches_are_restored() -> None:
    """Another library in the process may turn a switch; the next run turns it back."""
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("medium")
    determinism.enforce()
    found = determinism.switches()
    assert (found["threads"], found["deterministic_algorithms"], found["tf32_matmul"]) == ("1", "True", "False")
    assert found["float32_matmul_precision"] == "highest"


def test_absent_device_is_named() -> None:
    """Asking for a GPU that is not there says so."""
    if torch.cuda.is_available():
        pytest.skip("this host has a GPU")
    with pytest.raises(NumericClassMismatch, match="cuda"):
        gpu.resolve("cuda")


def test_probe_reports_memory_and_name() -> None:
    """What an operator sees of the host is filled in."""
    found = gpu.probe(gpu.resolve("cpu"))
    assert found.kind == "cpu"
    assert found.name
    assert found.memory_bytes > 2**28


def test_no_engine_is_loaded_on_a_host_that_fails(
    monkeypatch: pytest.MonkeyPatch, tiny_files: ModelFiles, make_manifest: Callable[..., Manifest]
) -> None:
    """Neither a node nor a verifier can sign what a failing host computed: there is no engine to ask."""
    self_test.passed.cache_clear()
    monkeypatch.setattr(self_test, "_ties", lambda device: self_test._require("ties", 1, 2, "x"))
    with pytest.raises(SelfTestFailed, match="ties"):
        FloatGeneration.load(tiny_files, make_manifest(tiny_files), "cpu")
