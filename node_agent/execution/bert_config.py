"""What a BERT encoder's config.json says, for the encoder in floats (`bert.py`) and the builder of the exact one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from node_agent.execution.errors import UnsupportedModel

_FIXED: dict[str, object] = {"hidden_act": "gelu", "model_type": "bert", "position_embedding_type": "absolute"}


@dataclass(frozen=True)
class BertConfig:
    """Sizes and constants, named as in Hugging Face's config.json."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a config.json. Raises UnsupportedModel for what this file does not compute."""
        return cls.from_json(json.loads(path.read_bytes()))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Take the fields needed, and refuse those that would change the arithmetic."""
        for name, only in _FIXED.items():
            if fields.get(name, only) != only:
                raise unsupported(f"{name} is {fields[name]!r}, this encoder computes {only!r}.", name, fields[name])
        missing = sorted(set(cls.__dataclass_fields__) - set(fields))
        if missing:
            raise unsupported(f"config.json lacks {', '.join(missing)}.", "missing", missing)
        config = cls(**{name: fields[name] for name in cls.__dataclass_fields__})
        if config.hidden_size % config.num_attention_heads:
            raise unsupported("heads do not divide the width.", "config", config)
        return config


def unsupported(message: str, name: str, value: object) -> UnsupportedModel:
    return UnsupportedModel(
        f"Not a model this encoder computes: {message}",
        way_out="Use a plain BERT encoder in fp32 with Hugging Face names, imported by the model store.",
        **{name: value},
    )
