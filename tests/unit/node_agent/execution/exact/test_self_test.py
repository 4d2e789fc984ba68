"""The start-up self-test catches hosts that multiply wrongly, and falls back or refuses."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.exact import self_test
from node_agent.execution.exact.encoder_reference import EncoderReference
from node_agent.execution.exact.model import ExactLlama
from node_agent.execution.exact.products import ALL, Fp32Products, Fp64Products, Products, Weight
from node_agent.execution.exact.reference import Reference

CPU = torch.device("cpu")


def test_golden_hash_is_the_references() -> None:
    """The pinned logits come from the specification, not from the code that is tested with them."""
    reference = Reference(self_test.golden_parameters())
    logits = np.array([reference.logits(token) for token in self_test.GOLDEN_TOKENS], "<i4")
    assert hashlib.sha256(logits.tobytes()).hexdigest() == self_test.GOLDEN_LOGITS


def test_golden_vectors_are_the_references() -> None:
    """The same for the encoder: its states and vectors, text by text."""
    reference, digest = EncoderReference(self_test.golden_encoder()), hashlib.sha256()
    for text in self_test.GOLDEN_TEXTS:
        states = reference.states(list(text))
        for rows in (*states, reference.vector(states[-1])):
            digest.update(np.array(rows, "<i4").tobytes())
    assert digest.hexdigest() == self_test.GOLDEN_VECTORS


@pytest.mark.parametrize("products", [Fp32Products(), Fp64Products()], ids=lambda each: each.name)
def test_float_products_are_sound_here(products: Products) -> None:
    """Products of bounded integers in floats hold on any IEEE 754 host."""
    self_test.require_sound(products, CPU)


def test_a_way_is_found_here() -> None:
    """This host, whatever it is, finds a sound way, and says why it passed over others."""
    report = self_test.run(CPU)
    assert report.products in {each.name for each in ALL}
    assert report.products not in report.unsound


@pytest.mark.parametrize("isa", ["AVX2", "SSE41"])
@pytest.mark.skipif(not torch.cpu._is_avx2_supported(), reason="the variable means nothing on this processor")
def test_saturating_products_are_caught(isa: str) -> None:
    """oneDNN held to instructions that add in 16 bits saturates; the host sees it and falls back to fp32."""
    script = (
        "import json, sys, torch; from node_agent.execution.exact import self_test\n"
        "report = self_test.run(torch.device('cpu')); sys.stdout.write(json.dumps([report.products, report.unsound]))\n"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    chosen, unsound = json.loads(done.stdout)
    assert chosen == "fp32"
    assert "wrong entries" in unsound["int8"]


class Sloppy(Fp32Products):
    """Loses the last bit of large sums, as TF32 or a saturating kernel would."""

    name = "sloppy"

    def linear(self, x: Tensor, weight: Weight) -> Tensor:
        exact = super().linear(x, weight)
        return torch.where(exact.abs() > 2**30, exact & ~1, exact)


def test_one_lost_bit_is_caught() -> None:
    """Wrong by one in the largest products only."""
    with pytest.raises(SelfTestFailed, match="wrong entries"):
        self_test.require_sound(Sloppy(), CPU)


def test_no_sound_way_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host on which every way to multiply is wrong signs nothing."""
    monkeypatch.setattr(self_test, "ALL", (Sloppy(),))
    with pytest.raises(SelfTestFailed, match="signs nothing"):
        self_test.run(CPU)


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
@torch.inference_mode()
def test_steps_of_fixed_shapes_give_the_golden_logits(products: Products) -> None:
    """What a GPU's self-test runs by graphs, here without: each of several texts in changing company."""
    model = ExactLlama(self_test.golden_parameters(), products, CPU)
    assert self_test.golden_static_hashes(model) == {self_test.GOLDEN_LOGITS}


@pytest.mark.parametrize("error", [SelfTestFailed("wrong", way_out="none"), RuntimeError("cannot capture")])
def test_a_gpu_whose_graphs_are_wrong_goes_without(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Every way by graphs is tried first; then each without, which a model then keeps to."""

    def require_sound(products: Products, device: torch.device) -> None:
        if products.graphs or products.name == "int8":
            raise error

    monkeypatch.setattr(self_test, "require_sound", require_sound)
    report = self_test.run(torch.device("cuda"))
    assert (report.products, report.graphs) == ("fp32", False)
    assert list(report.unsound) == ["int8", "fp32", "fp64", "int8 without graphs"]
    self_test.sound_products.cache_clear()
    assert not self_test.sound_products("cuda").graphs
    self_test.sound_products.cache_clear()


@pytest.mark.parametrize("what", ["logits", "vectors"])
def test_wrong_numbers_are_caught(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A host whose products are right and one of whose models is not."""
    monkeypatch.setattr(self_test, f"GOLDEN_{what.upper()}", "f" * 64)
    with pytest.raises(SelfTestFailed, match=f"golden {what}"):
        self_test.require_sound(Fp32Products(), CPU)
