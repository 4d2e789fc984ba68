"""Model files that are not what they should be: `assay models pull` finds them in the store, names them, runs nothing.

A model that is in the store is only verified, so nothing is fetched here. The store's own tests are in
tests/unit/node_agent/execution/test_models.py.
"""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy import assay
from node_agent.models import ModelStore

MODEL = "smollm2-135m"
DIGEST = ModelStore().sources[MODEL].weights_sha256
SAFETENSORS = b"\x02\0\0\0\0\0\0\0{}"


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return (open, (str(self.mark), "w"))


def torch_file(payload: bytes) -> bytes:
    """What torch.save writes: a zip with a pickle in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("archive/data.pkl", payload)
    return packed.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a model's three files."""
    folder = tmp_path / "store" / DIGEST
    folder.mkdir(parents=True)
    for name, content in (("model.safetensors", SAFETENSORS), ("tokenizer.json", b"{}"), ("config.json", b"{}")):
        (folder / name).write_bytes(content)
    return tmp_path / "store"


def pull(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str = MODEL) -> str:
    """Runs the command, which must fail with a message and no trace; returns what it said."""
    before = {path: path.lstat().st_mtime_ns for path in store.rglob("*") if path.is_file()}
    monkeypatch.setattr("sys.argv", ["assay", "models", "pull", name, "--store", str(store)])
    monkeypatch.setenv("COLUMNS", "2000")
    with pytest.raises(SystemExit) as ended:
        assay.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 1, out + err
    assert "Traceback" not in out + err
    after = {path: path.lstat().st_mtime_ns for path in store.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == {path: at for path, at in before.items() if path.name != ".lock"}
    return out + err


def test_wrong_digest(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects requesters from other weights: the file, what it hashes to and what it must be are told."""
    said = pull(store, monkeypatch, capsys)
    assert "model_digest_mismatch" in said
    assert "model.safetensors" in said
    assert DIGEST in said
    assert "pull the model again" in said


@pytest.mark.parametrize("wrap", [lambda data: data, torch_file])
def test_pickle_where_weights_should_be(
    store: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    wrap: Callable[[bytes], bytes],
) -> None:
    """Protects the host: a pickle is told from weights by its first bytes and never loaded. Covers: A48"""
    mark = tmp_path / "the bomb went off"
    (store / DIGEST / "model.safetensors").write_bytes(wrap(pickle.dumps(Bomb(mark))))
    said = pull(store, monkeypatch, capsys)
    assert "a pickle, which can run code" in said
    assert "Convert it to safetensors" in said
    assert not mark.exists()


@pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "/"])
def test_links_out_of_the_store(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], target: str
) -> None:
    """Protects the host's files: a link in the store shows nothing of what it leads to. Covers: A49"""
    weights = store / DIGEST / "model.safetensors"
    weights.unlink()
    weights.symlink_to(target)
    said = pull(store, monkeypatch, capsys)
    assert "model.safetensors" in said
    assert "root:" not in said


def test_file_that_is_missing(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects operators: half a model is named, with what to do."""
    (store / DIGEST / "config.json").unlink()
    said = pull(store, monkeypatch, capsys)
    assert "config.json" in said
    assert "pull the model again" in said


@pytest.mark.parametrize(
    "name", ["../smollm2-135m", "/etc/passwd", "..", "smollm2-135m\0", "http://127.0.0.1/model", "[red]x", ""]
)
def test_names_that_are_no_models(
    store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Protects the host's files: a model's name is looked up and never a path or a URL. Covers: A49"""
    said = pull(store, monkeypatch, capsys, name)
    assert repr(name) in said
    assert "name a known model" in said
