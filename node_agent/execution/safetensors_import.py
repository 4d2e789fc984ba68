"""From a published model in safetensors to the store's three files, the same bytes on every host.

Tensors in fp32 are kept; integer buffers (position ids) are not weights and are left out. The weights' metadata gets
the configuration's digest, so that the weights' own digest decides the whole model. The other two files are copied.
"""

import hashlib
import json
from pathlib import Path

from safetensors import safe_open

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.model_files import (
    CONFIG,
    CONFIG_KEY,
    TOKENIZER,
    WEIGHTS,
    require_safetensors,
    write_safetensors,
)
from node_agent.execution.published_tokenizer import kept

_WEIGHT, _BUFFERS = "F32", ("position_ids", "token_type_ids")


def import_safetensors(weights: Path, tokenizer: Path, config: Path, folder: Path) -> None:
    """Write the three files of a model into an existing folder.

    Raises:
        UnsafeModelFormat: the weights are not safetensors.
        UnsupportedModel: tensors of another type, or a configuration that is not a JSON object.
    """
    require_safetensors(weights)
    settings = config.read_bytes()
    if not isinstance(json.loads(settings), dict):
        raise UnsupportedModel(f"{config.name} is no JSON object.", way_out="Use the model's own.", path=str(config))
    with safe_open(weights, framework="np") as file:
        kinds = {name: str(file.get_slice(name).get_dtype()) for name in file.keys()}  # noqa: SIM118  # no mapping
        strange = {name: kind for name, kind in kinds.items() if kind != _WEIGHT and not name.endswith(_BUFFERS)}
        if strange:
            raise UnsupportedModel(
                f"{weights.name} holds {strange}, this engine computes with {_WEIGHT}.",
                way_out="Convert the model to fp32.",
                tensors=strange,
            )
        shapes = {
            name: tuple(int(size) for size in file.get_slice(name).get_shape())
            for name, kind in kinds.items()
            if kind == _WEIGHT and not name.endswith(_BUFFERS)
        }
        bound = {CONFIG_KEY: hashlib.sha256(settings).hexdigest()}
        write_safetensors(folder / WEIGHTS, shapes, file.get_tensor, bound)
    (folder / CONFIG).write_bytes(settings)
    (folder / TOKENIZER).write_bytes(kept(tokenizer.read_bytes()))
