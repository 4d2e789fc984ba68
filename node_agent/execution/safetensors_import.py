"""From a published model in safetensors to the store's three files, the same bytes on every host.

Tensors in fp32, fp16 and bf16 are kept, widened to fp32, which changes no number; integer buffers (position ids) are
not weights and are left out. The weights' metadata gets the configuration's digest, so that the weights' own digest
decides the whole model. The other two files are copied.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from safetensors import safe_open

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.model_files import (
    CONFIG,
    CONFIG_KEY,
    TOKENIZER,
    WEIGHTS,
    Fp32,
    require_safetensors,
    write_safetensors,
)
from node_agent.execution.published_tokenizer import kept

_BUFFERS = ("position_ids", "token_type_ids")

_WIDENED: dict[str, Callable[[NDArray[Any]], Fp32]] = {
    "F32": lambda raw: raw.view("<f4").astype(np.float32),
    "F16": lambda raw: raw.view("<f2").astype(np.float32),
    "BF16": lambda raw: (raw.view("<u2").astype(np.uint32) << 16).view(np.float32),
}
"""From a tensor's bytes to fp32, by its type."""


class _Shard:
    """One file. Attributes: `shapes` of its weights by name. Raises UnsupportedModel for weights of another type."""

    def __init__(self, path: Path) -> None:
        require_safetensors(path)
        with safe_open(path, framework="np"):  # checks that lengths, types and places fit each other
            self._data = np.memmap(path, np.uint8, "r")
        start = 8 + int.from_bytes(self._data[:8].tobytes(), "little")
        header = from_json(self._data[8:start].tobytes())
        self._body = self._data[start:]
        self._tensors = {name: said for name, said in header.items()
                         if name != "__metadata__" and not name.endswith(_BUFFERS)}  # fmt: skip
        strange = {name: said["dtype"] for name, said in self._tensors.items() if said["dtype"] not in _WIDENED}
        if strange:
            raise UnsupportedModel(
                f"{path.name} holds {dict(list(strange.items())[:5])}; weights are read in {', '.join(_WIDENED)}.",
                way_out="Use a model that is not quantised, or a GGUF file.",
                tensors=strange,
            )
        self.shapes = {name: tuple(map(int, said["shape"])) for name, said in self._tensors.items()}

    def tensor(self, name: str) -> Fp32:
        """A weight in fp32."""
        said = self._tensors[name]
        first, last = said["data_offsets"]
        return _WIDENED[said["dtype"]](np.array(self._body[first:last])).reshape(said["shape"])


def import_safetensors(
    weights: Path, tokenizer: Path, config: Path, folder: Path, more_weights: Sequence[Path] = ()
) -> None:
    """Write the three files of a model into an existing folder.

    Args:
        weights, tokenizer, config: as published.
        folder: where to write.
        more_weights: the other files where a model's weights lie in several.

    Raises:
        UnsafeModelFormat: the weights are not safetensors.
        UnsupportedModel: tensors of another type or twice, or a configuration that is not a JSON object.
    """
    settings = config.read_bytes()
    if not isinstance(from_json(settings), dict):
        raise UnsupportedModel(f"{config.name} is no JSON object.", way_out="Use the model's own.", path=str(config))
    holders: dict[str, _Shard] = {}
    for path in (weights, *more_weights):
        shard = _Shard(path)
        if twice := sorted(set(shard.shapes) & set(holders)):
            raise UnsupportedModel(
                f"{path.name} has {twice[0]}, and so has another file.",
                way_out="Use the model's own files.",
                twice=twice,
            )
        holders |= dict.fromkeys(shard.shapes, shard)
    shapes = {name: shard.shapes[name] for name, shard in holders.items()}
    bound = {CONFIG_KEY: hashlib.sha256(settings).hexdigest()}
    write_safetensors(folder / WEIGHTS, shapes, lambda name: holders[name].tensor(name), bound)
    (folder / CONFIG).write_bytes(settings)
    (folder / TOKENIZER).write_bytes(kept(tokenizer.read_bytes()))
