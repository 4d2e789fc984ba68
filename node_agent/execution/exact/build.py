"""From a stored model in fp32 to the model file of the exact engine, the same bytes on every host."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from safetensors import safe_open

from node_agent.execution.exact.container import ModelConfig, write_model
from node_agent.execution.exact.encoder import build as encoder
from node_agent.execution.exact.llama import build as llama
from node_agent.execution.exact.llama.families import FAMILIES
from node_agent.execution.exact.quantise import TensorMaker
from node_agent.execution.model_files import Fp32, ModelFiles
from node_agent.execution.published import unsupported

ReadConfig = Callable[[Mapping[str, Any], str, int | None], ModelConfig]
"""The model file's configuration from a config.json, the digest of its weights, and the longest text to build for."""

Tensor = Callable[[str], Fp32]
"""From Hugging Face names to fp32 tensors."""


@dataclass(frozen=True)
class _Engine:
    """How one of the two engines builds its files.

    Attributes:
        follows: whether a tensor, by config.json, its name and the tensors, may be left out.
    """

    read_config: ReadConfig
    maker: Callable[[Any, Mapping[str, Any], Tensor], TensorMaker]
    follows: Callable[[Mapping[str, Any], str, Tensor], bool]


_ENCODER = _Engine(encoder.read_config, encoder.EncoderMaker, encoder.follows)
_LLAMA = _Engine(llama.read_config, llama.LlamaMaker, llama.follows)
_ENGINES: Mapping[str, _Engine] = {"bert": _ENCODER, **dict.fromkeys(FAMILIES, _LLAMA)}
"""By model_type."""


def build(files: ModelFiles, path: Path, positions: int | None = None) -> None:
    """Write the model file of a stored model in fp32 with Hugging Face names; otherwise as `build_from`."""
    fields = from_json(files.config.read_bytes())
    if not isinstance(fields, dict):
        raise unsupported("config.json is no object.", "config", fields)
    with safe_open(files.weights, framework="np") as file:
        names = frozenset(file.keys())
        layers = fields.get("num_hidden_layers")
        if isinstance(layers, int) and layers > len(names):  # to name all their tensors could take minutes
            raise unsupported(
                f"num_hidden_layers = {layers}, and the file has {len(names)} tensors.", "num_hidden_layers", layers
            )
        read = set[str]()

        def tensor(name: str) -> Fp32:
            if name not in names:
                raise unsupported(f"{name} is missing.", "missing", name)
            read.add(name)
            values: Fp32 = file.get_tensor(name)
            return values

        build_from(fields, tensor, files.weights_sha256, path, positions)
        follows = _engine_of(fields).follows
        if unread := sorted(name for name in names - read if not follows(fields, name, tensor)):
            raise unsupported(f"its config.json has no use for {', '.join(unread[:5])}.", "unread", unread)


def build_from(
    fields: Mapping[str, Any],
    tensor: Tensor,
    source_sha256: str,
    path: Path,
    positions: int | None = None,
) -> None:
    """Write the model file of the family that a config.json names.

    Args:
        fields: of config.json.
        tensor: from Hugging Face names to fp32 tensors.
        source_sha256: of the weights.
        path: the file to write.
        positions: longest text to build for; what the model was made for if not given.

    Raises:
        UnsupportedModel: not a Llama or a BERT encoder that this engine computes.
    """
    engine = _engine_of(fields)
    config = engine.read_config(fields, source_sha256, positions)
    write_model(path, config, engine.maker(config, fields, tensor))


def _engine_of(fields: Mapping[str, Any]) -> _Engine:
    kind = fields.get("model_type", "llama")
    if not isinstance(kind, str) or kind not in _ENGINES:
        raise unsupported(f"model_type is {kind!r}; known are {', '.join(_ENGINES)}.", "model_type", kind)
    return _ENGINES[kind]
