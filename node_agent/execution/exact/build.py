"""From a stored model in fp32 to the model file of the exact engine, the same bytes on every host."""

import json
from pathlib import Path

from safetensors import safe_open

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact.encoder import build as encoder
from node_agent.execution.exact.llama import build as llama
from node_agent.execution.model_files import ModelFiles

_BUILDERS = {"bert": encoder.build_from, "llama": llama.build_from}


def build(files: ModelFiles, path: Path, positions: int | None = None) -> None:
    """Write the model file of a stored model, of the family that its config.json names.

    Args:
        files: safetensors in fp32 with Hugging Face names, and their config.json.
        path: the file to write.
        positions: longest text to build for; what the model was made for if not given.

    Raises:
        UnsupportedModel: not a Llama or a BERT encoder that this engine computes.
    """
    fields = json.loads(files.config.read_bytes())
    family = fields.get("model_type", "llama")
    if family not in _BUILDERS:
        raise UnsupportedModel(
            f"model_type is {family!r}, the exact engine computes {', '.join(_BUILDERS)}.",
            way_out="Use a plain Llama or BERT encoder.",
            model_type=family,
        )
    with safe_open(files.weights, framework="np") as file:
        _BUILDERS[family](fields, file.get_tensor, files.weights_sha256, path, positions)
