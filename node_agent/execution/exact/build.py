"""From a stored model in fp32 to the model file of the exact engine, the same bytes on every host."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact.container import ModelConfig, write_model
from node_agent.execution.exact.encoder import build as encoder
from node_agent.execution.exact.llama import build as llama
from node_agent.execution.exact.quantise import TensorMaker
from node_agent.execution.model_files import Fp32, ModelFiles

ReadConfig = Callable[[Mapping[str, Any], str, int | None], ModelConfig]
"""The model file's configuration from a config.json, the digest of its weights, and the longest text to build for."""

_FAMILIES: Mapping[str, tuple[ReadConfig, Callable[[Any, Mapping[str, Any], Callable[[str], Fp32]], TensorMaker]]] = {
    "bert": (encoder.read_config, encoder.EncoderMaker),
    "llama": (llama.read_config, llama.LlamaMaker),
}

_NOT_COMPUTED = frozenset({"pooler.dense.weight", "pooler.dense.bias"})
"""A BERT encoder's head for sentence pairs: an embedding is the mean of the states below it."""


def build(files: ModelFiles, path: Path, positions: int | None = None) -> None:
    """Write the model file of a stored model in fp32 with Hugging Face names; otherwise as `build_from`."""
    fields = json.loads(files.config.read_bytes())
    with safe_open(files.weights, framework="np") as file:
        unread = set(file.keys()) - _NOT_COMPUTED
        layers = fields.get("num_hidden_layers")
        if isinstance(layers, int) and layers > len(unread):  # to name all their tensors could take minutes
            raise UnsupportedModel(
                f"config.json says num_hidden_layers = {layers}, and the file has {len(unread)} tensors.",
                way_out="Use the model with its own config.json.",
            )

        def tensor(name: str) -> Fp32:
            unread.discard(name)
            values: Fp32 = file.get_tensor(name)
            return values

        build_from(fields, tensor, files.weights_sha256, path, positions)
    if unread:
        raise UnsupportedModel(
            f"The model has tensors that its config.json has no use for: {', '.join(sorted(unread)[:5])}.",
            way_out="Use a plain Llama or BERT encoder, with its own config.json.",
            unread=sorted(unread),
        )


def build_from(
    fields: Mapping[str, Any],
    tensor: Callable[[str], Fp32],
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
    family = fields.get("model_type", "llama")
    if family not in _FAMILIES:
        raise UnsupportedModel(
            f"model_type is {family!r}, the exact engine computes {', '.join(_FAMILIES)}.",
            way_out="Use a plain Llama or BERT encoder.",
            model_type=family,
        )
    read_config, source = _FAMILIES[family]
    config = read_config(fields, source_sha256, positions)
    write_model(path, config, source(config, fields, tensor))
