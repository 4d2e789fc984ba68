"""MiniLM through the exact engine: one hash over everything that moves float engines, and how near fp32 it stays."""

import re
from dataclasses import replace
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pytest
import torch

from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import pack, unpack, unpack_signed
from node_agent.execution import kinds
from node_agent.execution.exact.build import build
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.encoder.engine import ExactEmbedding
from node_agent.execution.exact.encoder.model_file import read_encoder
from node_agent.execution.exact.ways import sound
from node_agent.execution.floats.bert import Bert
from node_agent.execution.kinds.embedding import SCALE
from node_agent.execution.model_files import ModelFiles, sha256_file
from node_agent.models import ModelStore
from tests.unit.node_agent.execution.exact.conftest import PLACES, elsewhere
from tests.world.prompts import MINILM, asked_of

pytestmark = pytest.mark.model

HASH = "4f1055d143ed2522eac9c30c29e7c73231764ea252b86797cf30b3bd979c9391"
"""Of EMBED, on every host."""

EMBED = """
import hashlib, sys
import numpy as np
from pathlib import Path
from node_agent.execution.exact.encoder.model_file import read_encoder
from node_agent.execution.exact.ways import sound

model = WAY.encoder(read_encoder(Path(sys.argv[1])))
texts = [[101, 2023, 102], list(range(2000, 2090)), [101, *range(9000, 9040), 102]]

def digest(all_states):
    found = hashlib.sha256()
    for states in all_states:
        for rows in (*states, np.array(model.vector(states[-1]))):
            found.update(rows.astype("<i4").tobytes())
    return found.hexdigest()

ends = np.cumsum([len(text) for text in texts])
together = zip(*(np.split(states, ends[:-1]) for states in model.states(texts)))
alone = [model.states([text]) for text in texts]
sys.stdout.write(" ".join(sorted({digest(together), digest(alone)})))
"""


@pytest.fixture(scope="module")
def files() -> ModelFiles:
    """MiniLM as the exact engine's model file, from the store."""
    return ModelStore().pull("minilm-l6-v2-exact")


@pytest.fixture(scope="module")
def origin() -> ModelFiles:
    """What it was made from."""
    return ModelStore().pull("minilm-l6-v2")


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    """The embedding workload, which is that of any host."""
    return kinds.write_manifest("embedding", "minilm-l6-v2-exact", "cpu", check_price_units=10)


@pytest.fixture(scope="module")
def minilm(files: ModelFiles, manifest: Manifest) -> ExactEmbedding:
    """The engine as nodes and verifiers load it."""
    engine = kinds.load(files, manifest, "cpu")
    assert isinstance(engine, ExactEmbedding)
    return engine


def vectors(engine: ExactEmbedding, texts: list[str]) -> np.ndarray[Any, Any]:
    """(texts, C) vectors, an order of 16 at a time."""
    parts = [asked_of(MINILM, texts[start : start + 16]) for start in range(0, len(texts), 16)]
    return np.array([vector for part in parts for vector in unpack_signed(engine.execute(part, {}).output)]) / SCALE


def test_the_file_is_the_same_on_every_host(files: ModelFiles, origin: ModelFiles, tmp_path: Path) -> None:
    """Weights, scales and tables are decided by the source's digest: built here, it has the pinned one."""
    build(origin, tmp_path / "model.safetensors")
    assert sha256_file(tmp_path / "model.safetensors") == files.weights_sha256
    assert (tmp_path / "config.json").read_bytes() == files.config.read_bytes()


@pytest.mark.parametrize("way", PLACES)
def test_one_hash_everywhere(files: ModelFiles, way: str) -> None:
    """Kernels and torch, threads, instruction sets, texts together and alone: one hash."""
    assert elsewhere(way, EMBED, files.weights) == HASH


def test_the_workload_is_no_hosts_alone(manifest: Manifest) -> None:
    """No numeric class: whoever has the model may serve it, and check it by one pass."""
    said = (manifest.engine, manifest.dtype, manifest.numeric_class, manifest.check)
    assert said == ("exact", "int8", None, "prefill")


def test_near_meanings_have_near_vectors(minilm: ExactEmbedding) -> None:
    """Tokenizer, template and weights together make vectors that mean something."""
    texts = ["It's so sunny outside!", "The weather is lovely today.", "He drove to the stadium."]
    sunny, lovely, driving = vectors(minilm, texts)
    assert sunny @ lovely > 0.6 > 0.2 > sunny @ driving
    assert abs(np.linalg.norm(sunny) - 1) < 1e-5


def test_a_cheaper_model_shows(files: ModelFiles, minilm: ExactEmbedding) -> None:
    """int4 weights, which read like the model's and cost a node less, give another trace. Covers: A08"""

    def coarse(matrix: Matrix) -> Matrix:
        steps = np.clip(np.rint(matrix.weight / (127 / 7)), -7, 7)
        return replace(matrix, weight=np.rint(steps * (127 / 7)).astype(np.int8))

    parameters = read_encoder(files.weights)
    layers = tuple(replace(each, up=coarse(each.up), down=coarse(each.down)) for each in parameters.layers)
    model = sound("cpu").ways[0].encoder(replace(parameters, layers=layers))
    cheat = ExactEmbedding(model, minilm.manifest)
    text = asked_of(MINILM, ["The weather is lovely today."])
    assert cheat.execute(text, {}).trace_hash != minilm.execute(text, {}).trace_hash


def test_the_largest_order_is_answered(minilm: ExactEmbedding, manifest: Manifest) -> None:
    """16 texts of 256 tokens: run whole, and the largest vectors there are fit into a contest. Covers: A54"""
    done = minilm.execute(asked_of(MINILM, [f"{number} " + "word " * 253 for number in range(10, 26)]), {})
    assert done.units == 16 * 256
    assert len(pack([[-SCALE] * 384] * manifest.input.max_texts)) <= 65_536


# ---------------------------------------------------------------- quality


def paragraphs(count: int) -> list[str]:
    """English paragraphs of 60 to 700 characters, out of all of Python's topics."""
    blocks = [" ".join(block.split()) for name in sorted(topics) for block in re.split(r"\n\s*\n", topics[name])]
    whole = [block for block in blocks if 60 <= len(block) <= 700 and block[0].isupper() and block.endswith(".")]
    return [whole[index] for index in np.random.Generator(np.random.PCG64(0)).permutation(len(whole))[:count]]


@pytest.mark.timeout(300)
def test_it_is_nearly_as_good_as_fp32(minilm: ExactEmbedding, origin: ModelFiles) -> None:
    """240 paragraphs: vectors point where those of fp32 point (mean cosine 0.99957, worst 0.99916), 97.5 % find the
    same nearest other and 97.7 % of the ten nearest are the same; no cosine of two texts is off by 0.02."""
    texts = paragraphs(240)
    ours, theirs = vectors(minilm, texts), by_floats(origin, minilm, texts)
    cosines = (ours * theirs).sum(1)
    assert cosines.mean() >= 0.9995
    assert cosines.min() >= 0.999
    near, nearest = neighbours(ours), neighbours(theirs)
    assert (near[:, 0] == nearest[:, 0]).mean() >= 0.97
    assert np.mean([len({*mine} & {*other}) / 10 for mine, other in zip(near, nearest, strict=True)]) >= 0.97
    assert np.abs(ours @ ours.T - theirs @ theirs.T).max() < 0.02


@torch.inference_mode()
def by_floats(origin: ModelFiles, minilm: ExactEmbedding, texts: list[str]) -> np.ndarray[Any, Any]:
    """(texts, C) vectors by the model in fp32."""
    model = Bert.load(origin.weights, origin.config, torch.device("cpu"))
    means = [model.forward(torch.tensor(ids))[-1].mean(0) for ids in unpack(asked_of(MINILM, texts))]
    return torch.nn.functional.normalize(torch.stack(means)).double().numpy()


def neighbours(vectors: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The ten nearest others of each, nearest first."""
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -2)
    return np.argsort(-cosines, axis=1)[:, :10]
