"""The start-up self-test catches torch where it multiplies wrongly; that of the kernels is in test_kernels.py."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.exact import golden
from node_agent.execution.exact.eager import ways
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.products import ALL, Fp32Products, Fp64Products, Products, Weight
from node_agent.execution.exact.encoder.reference import EncoderReference
from node_agent.execution.exact.kernels import cpu_flags
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.llama.reference import Reference

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("model", "pinned"),
    [
        (golden.golden_parameters, golden.GOLDEN_LOGITS),
        (golden.golden_family, golden.GOLDEN_FAMILY_LOGITS),
    ],
)
def test_golden_hash_is_the_references(model: Callable[[], Parameters], pinned: str) -> None:
    """The pinned logits come from the specification, not from the code that is tested with them."""
    reference = Reference(model())
    logits = np.array([reference.logits(token) for token in golden.GOLDEN_TOKENS], "<i4")
    assert hashlib.sha256(logits.tobytes()).hexdigest() == pinned


def test_golden_vectors_are_the_references() -> None:
    """The same for the encoder: its states and vectors, text by text."""
    reference, digest = EncoderReference(golden.golden_encoder()), hashlib.sha256()
    for text in golden.GOLDEN_TEXTS:
        states = reference.states(list(text))
        for rows in (*states, reference.vector(states[-1])):
            digest.update(np.array(rows, "<i4").tobytes())
    assert digest.hexdigest() == golden.GOLDEN_VECTORS


@pytest.mark.parametrize("products", [Fp32Products(), Fp64Products()], ids=lambda each: each.name)
def test_float_products_are_sound_here(products: Products) -> None:
    """Products of bounded integers in floats hold on any IEEE 754 host."""
    ways.require_sound(ways.EagerWay(products, CPU))


def test_a_way_is_found_here() -> None:
    """This host, whatever it is, finds a sound way, and says why it passed over others."""
    found = ways.sound_ways("cpu")
    names = [way.name for way in found.ways]
    assert "torch fp64 on cpu" in names
    assert not set(names) & set(found.unsound)


@pytest.mark.process
@pytest.mark.skipif("avx512_vnni" not in cpu_flags(), reason="only there does oneDNN saturate when it is held back")
@pytest.mark.parametrize("isa", ["AVX2", "SSE41"])
def test_saturating_products_are_caught(isa: str) -> None:
    """oneDNN held to instructions that add in 16 bits saturates where torch believes that the CPU has VNNI; seen here,
    int8 products are not used."""
    script = (
        "import json, sys; from node_agent.execution.exact.eager import ways\n"
        "found = ways.sound_ways('cpu')\n"
        "sys.stdout.write(json.dumps([[way.name for way in found.ways], found.unsound]))\n"
    )
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": isa, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=240
    )
    sound, unsound = json.loads(done.stdout)
    assert sound == ["torch fp32 on cpu", "torch fp64 on cpu"]
    assert "wrong entries" in unsound["torch int8 on cpu"]


class Sloppy(Fp32Products):
    """Loses the last bit of large sums, as TF32 or a saturating kernel would."""

    name = "sloppy"

    def linear(self, x: Tensor, weight: Weight) -> Tensor:
        exact = super().linear(x, weight)
        return torch.where(exact.abs() > 2**30, exact & ~1, exact)


def test_one_lost_bit_is_caught() -> None:
    """Wrong by one in the largest products only."""
    with pytest.raises(SelfTestFailed, match="wrong entries"):
        ways.require_sound(ways.EagerWay(Sloppy(), CPU))


@pytest.mark.parametrize("products", ALL, ids=lambda each: each.name)
@torch.inference_mode()
def test_steps_of_fixed_shapes_give_the_golden_logits(products: Products) -> None:
    """What a GPU's self-test runs by graphs, here without: each of several texts in changing company."""
    model = EagerLlama(golden.golden_parameters(), products, CPU)
    assert ways.golden_static_hashes(model) == {golden.GOLDEN_LOGITS}


@pytest.mark.parametrize("error", [SelfTestFailed("wrong", way_out="none"), RuntimeError("cannot capture")])
def test_a_gpu_whose_graphs_are_wrong_goes_without(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Every way is tried by graphs and without; what fails is named and left out."""

    def require_sound(way: ways.EagerWay) -> None:
        if way.products.graphs or way.products.name == "int8":
            raise error

    monkeypatch.setattr(ways, "require_sound", require_sound)
    ways.sound_ways.cache_clear()
    found = ways.sound_ways("cuda")
    assert [way.name for way in found.ways] == [f"torch {name} on cuda without graphs" for name in ("fp32", "fp64")]
    assert len(found.unsound) == 4
    assert not ways.sound_ways("cuda").ways[0].products.graphs
    ways.sound_ways.cache_clear()


@pytest.mark.parametrize("what", ["LOGITS", "VECTORS"])
def test_wrong_numbers_are_caught(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """A host whose products are right and one of whose models is not."""
    monkeypatch.setattr(ways, f"GOLDEN_{what}", "f" * 64)
    with pytest.raises(SelfTestFailed, match=f"golden {what.lower()}"):
        ways.require_sound(ways.EagerWay(Fp32Products(), CPU))
