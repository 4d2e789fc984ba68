"""Real engines by workload: the bytes that run are the bytes that the manifest names."""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest

from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import Manifest
from contracts.protocol.packed import packed_root
from node_agent.devices import numeric_class, self_test
from node_agent.errors import HostUnsupported
from node_agent.execution.errors import ModelDigestMismatch, ModelUnavailable, NumericClassMismatch, UnknownKind
from node_agent.execution.exact.build import build
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.execution.exact.model_root import file_root
from node_agent.execution.floats.generation import FloatGeneration
from node_agent.execution.model_files import CONFIG_KEY, ModelFiles, sha256_file, write_safetensors
from tests.unit.node_agent.execution.conftest import tiny_tokenizer
from tests.unit.record.records import MANIFEST
from tests.world.prompts import CHAT, asked
from verifier.reexecution import LocalEngines, answer

HELLO = asked(["hello"])


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    """A store with the self-test's small Llama under the digest of its weights."""
    built = tmp_path / "built"
    built.mkdir()
    config = built / "config.json"
    config.write_text(json.dumps(asdict(self_test.REFERENCE_CONFIG)))
    (built / "tokenizer.json").write_text(json.dumps(tiny_tokenizer()))
    state = {name: tensor.numpy() for name, tensor in self_test.reference_state(self_test.REFERENCE_CONFIG).items()}
    bound = {CONFIG_KEY: hashlib.sha256(config.read_bytes()).hexdigest()}
    weights = built / "model.safetensors"
    write_safetensors(weights, {name: array.shape for name, array in state.items()}, state.__getitem__, bound)
    built.rename(tmp_path / sha256_file(weights))
    return tmp_path


def manifest_of(model_dir: Path, **changes: object) -> Manifest:
    (folder,) = model_dir.iterdir()
    fields = MANIFEST.model_dump() | {
        "weights_sha256": folder.name,
        "tokenizer_sha256": sha256_file(folder / "tokenizer.json"),
        "kind": "float_generation",
        "engine_version": FloatGeneration.version,
        "numeric_class": numeric_class.current("cpu").digest,
        "input": {"max_texts": 4, "max_bytes": 200, "max_tokens": 260},
        **CHAT.fields(),
    }
    return Manifest.model_validate(fields | changes)


@pytest.mark.process
def test_an_answer_is_what_the_engine_computes(model_dir: Path) -> None:
    """Trace, output root and units come from one run of the workload's engine, which is loaded once."""
    manifest = manifest_of(model_dir)
    engines = LocalEngines(model_dir, "cpu")
    engine = engines.get(manifest)
    assert engines.get(manifest) is engine
    run = engine.execute(HELLO, {"max_new_tokens": 3})
    opening = answer(engine, HELLO, {"max_new_tokens": 3})
    assert opening.trace_hash == to_hex(run.trace_hash)
    assert opening.output_root == to_hex(packed_root(run.output))
    assert opening.units == run.units


@pytest.mark.process
def test_unconfined_the_answer_is_the_same(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An auditor without Linux runs a job again in the auditor's own process."""
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(HostUnsupported):
        LocalEngines(model_dir, "cpu")
    unconfined = LocalEngines(model_dir, "cpu", confined=False).get(manifest_of(model_dir))
    monkeypatch.undo()
    confined = LocalEngines(model_dir, "cpu").get(manifest_of(model_dir))
    params = {"max_new_tokens": 3}
    assert answer(unconfined, HELLO, params) == answer(confined, HELLO, params)


def test_altered_weights_are_never_run(model_dir: Path) -> None:
    """A verifier's word rests on the bytes that it hashed itself."""
    manifest = manifest_of(model_dir)
    weights = model_dir / manifest.weights_sha256 / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelDigestMismatch):
        LocalEngines(model_dir, "cpu").get(manifest)


@pytest.mark.process
def test_under_a_foreign_root_nothing_is_run(model_dir: Path, tmp_path: Path) -> None:
    """Protects honest nodes: a verifier convicts nobody by a workload whose root is not that of its model file. A node
    loads workloads in the same process, `Executor`. Covers: A71"""
    (floats,) = model_dir.iterdir()
    built = tmp_path / "exact"
    built.mkdir()
    parts = [floats / name for name in ("model.safetensors", "tokenizer.json", "config.json")]
    build(ModelFiles(*parts, floats.name, sha256_file(parts[1])), built / "model.safetensors")
    shutil.copy(parts[1], built)
    root, weights_sha256 = file_root(built / "model.safetensors"), sha256_file(built / "model.safetensors")
    shutil.rmtree(floats)
    built.rename(tmp_path / weights_sha256)
    manifest = manifest_of(
        model_dir, kind="generation", engine="exact", engine_version=ExactGeneration.version, check="prefill",
        numeric_class=None, model_root=root,
    )  # fmt: skip
    engines = LocalEngines(model_dir, "cpu")
    assert answer(engines.get(manifest), HELLO, {"max_new_tokens": 3}).units <= 3
    foreign = manifest.model_copy(update={"model_root": "0x" + "11" * 32})
    with pytest.raises(ModelDigestMismatch, match=f"root 0x1111.* {root}"):
        engines.get(foreign)


@pytest.mark.process
def test_without_model_or_class_the_host_refuses(model_dir: Path) -> None:
    """A host that cannot repeat the work says so and computes nothing. Covers: A60"""
    with pytest.raises(ModelUnavailable, match="abstains"):
        LocalEngines(model_dir, "cpu").get(manifest_of(model_dir, weights_sha256="00" * 32))
    with pytest.raises(UnknownKind, match="translation"):
        LocalEngines(model_dir, "cpu").get(manifest_of(model_dir, kind="translation"))
    with pytest.raises(NumericClassMismatch):
        LocalEngines(model_dir, "cpu").get(manifest_of(model_dir, numeric_class="00" * 32))
