"""The model root by the kernels is that of COURT.md, number by number."""

import numpy as np
import pytest
from pydantic import ValidationError

from contracts.protocol.hashing import keccak
from contracts.protocol.manifest import Manifest
from contracts.protocol.trace_tree import list_root
from node_agent.execution import kinds
from node_agent.execution.errors import ModelDigestMismatch
from node_agent.execution.exact import golden, kernels
from node_agent.execution.exact.model_root import derived, file_root, model_root
from node_agent.execution.model_files import ModelFiles
from node_agent.models import ModelStore
from tests.unit.node_agent.execution.exact.conftest import FAMILIES, MakeEncoder, MakeModel, with_biases
from tests.unit.node_agent.execution.exact.court.tracing import model_shelf

EVERY_SET = pytest.mark.parametrize("name", kernels.available())


@EVERY_SET
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("width", "block"), [(1, 64), (64, 64), (65, 64), (135, 135), (300, 136), (600, 256), (65_535, 64)]
)
def test_rows_are_hashed_as_lists_of_their_blocks(name: str, threads: int, width: int, block: int) -> None:
    """Every length that a block of the court's has, in one or two blocks of the sponge, against another keccak."""
    rows = np.random.default_rng(width).integers(0, 256, (5, width), np.uint8)
    roots = kernels.loaded(name, threads).row_roots(rows, block)
    for row, root in zip(rows, roots, strict=True):
        data = row.tobytes()
        leaves = [keccak(b"\0" + data[start : start + block]) for start in range(0, width, block)]
        assert bytes(root) == list_root(leaves, keccak)
    assert bytes(kernels.loaded(name, threads).list_root(roots)) == list_root(map(bytes, roots), keccak)


def test_rows_that_have_no_room_are_refused() -> None:
    """More blocks than a thread has room for, or blocks longer than two of the sponge's."""
    for width, block in ((1_024 * 64 + 1, 64), (300, 257), (0, 64)):
        with pytest.raises(ValueError, match="not what is hashed here"):
            kernels.loaded(kernels.available()[0], 1).row_roots(np.zeros((1, width), np.uint8), block)


@EVERY_SET
def test_the_root_of_a_file_is_that_of_its_numbers(name: str, make_model: MakeModel, make_encoder: MakeEncoder) -> None:
    """A71: what a node derives before it serves, by every set of kernels, is the root under which single numbers are
    opened: tied and not, one block a row and several, both families."""
    families = (with_biases(make_model(**changes)) for changes in FAMILIES.values())
    for model in (make_model(), make_model(tie_word_embeddings=False, hidden_size=72), make_encoder(), *families):
        assert model_root(model, kernels.loaded(name, 1)) == model_shelf(model).root


def test_what_families_add_changes_no_plain_llama() -> None:
    """Protects workloads that are offered: the root of a model without window, biases and norms of heads is as it was
    before there were any."""
    assert derived(golden.golden_parameters()) == GOLDEN_ROOT
    assert derived(golden.golden_family()) != GOLDEN_ROOT


GOLDEN_ROOT = "0x4fc561155915c5841a443053e4a2c23b0ca463987cb06b02ac0b59a00a956545"


@pytest.mark.parametrize("whose", ["no model's", "another model's", "none"])
def test_a_foreign_root_is_refused(files: ModelFiles, manifest: Manifest, make_model: MakeModel, whose: str) -> None:
    """Protects honest nodes: with the right weights under another root, a node could be convicted by numbers that it
    never had. Whoever loads the workload derives the root and is told both. Covers: A71"""
    root = {"no model's": "0x" + "11" * 32, "another model's": derived(make_model()), "none": None}[whose]
    foreign = manifest.model_copy(update={"model_root": root})
    assert foreign.weights_sha256 == files.weights_sha256
    with pytest.raises(ModelDigestMismatch, match=f"root {root}, .* {file_root(files.weights)}"):
        kinds.load(files, foreign, "cpu")


def test_exact_workloads_alone_name_a_root(manifest: Manifest) -> None:
    """Protects honest nodes from a root that nobody derives, and from exact work without one. Covers: A71"""
    for change in ({"model_root": None}, {"engine": "torch-float"}):
        with pytest.raises(ValidationError, match="workloads of the engine exact name their model's root"):
            Manifest.model_validate(manifest.model_dump() | change)


@pytest.mark.model
@pytest.mark.parametrize("kind", ["generation", "embedding"])
def test_recorded_roots_are_the_files(kind: str) -> None:
    """Protects those who offer a shipped model: the root in its manifest is that of its file. Covers: A71"""
    for name in kinds.find(kind).models:
        written = kinds.write_manifest(kind, name, "cpu", check_price_units=1)
        assert written.model_root == file_root(ModelStore().pull(name).weights), name
