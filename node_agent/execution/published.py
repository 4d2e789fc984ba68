"""config.json of a published Llama or BERT encoder, by Hugging Face's names. Needs no torch, so that the exact engine's
builders read it too."""

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic_core import from_json

from node_agent.execution.errors import UnsupportedModel

PLAIN_LLAMA: Mapping[str, object] = {
    "attention_bias": False,
    "hidden_act": "silu",
    "mlp_bias": False,
    "model_type": "llama",
    "sliding_window": None,
}
"""What every engine requires of a Llama's config.json."""


@dataclass(frozen=True)
class PublishedConfig:
    """Sizes and constants; a family's fields are keys of config.json.

    Attributes:
        fixed: fields that would change the arithmetic, each with its only supported value.
    """

    fixed: ClassVar[Mapping[str, object]]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a config.json. Errors as of `from_json`."""
        return cls.from_json(from_json(path.read_bytes()))

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Take the fields needed. Raises UnsupportedModel where one is missing, or would change the arithmetic."""
        require_fixed(fields, cls.fixed)
        names = [field.name for field in dataclasses.fields(cls)]
        require_known(fields, (*names, *cls.fixed, "architectures"))
        if missing := sorted(set(names) - set(fields)):
            raise unsupported(f"config.json lacks {', '.join(missing)}.", "missing", missing)
        return cls(**{name: fields[name] for name in names})


@dataclass(frozen=True)
class LlamaConfig(PublishedConfig):
    """See `PublishedConfig`."""

    fixed: ClassVar[Mapping[str, object]] = {**PLAIN_LLAMA, "rope_scaling": None}

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float
    rope_theta: float
    tie_word_embeddings: bool
    eos_token_id: int

    def __post_init__(self) -> None:
        if self.num_attention_heads % self.num_key_value_heads or self.head_dim % 2:
            raise unsupported("heads do not divide into groups, or their width is odd.", "config", asdict(self))


@dataclass(frozen=True)
class BertConfig(PublishedConfig):
    """See `PublishedConfig`."""

    fixed: ClassVar[Mapping[str, object]] = {
        "hidden_act": "gelu", "model_type": "bert", "position_embedding_type": "absolute",
    }  # fmt: skip

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise unsupported("heads do not divide the width.", "config", asdict(self))


def require_fixed(fields: Mapping[str, Any], fixed: Mapping[str, object]) -> None:
    """Raises UnsupportedModel where a field is there and has another value than the supported one."""
    for name, only in fixed.items():
        if fields.get(name, only) != only:
            raise unsupported(f"{name} is {fields[name]!r}, this engine computes {only!r}.", name, fields[name])


TELLS_NOTHING = frozenset({
    "_attn_implementation", "_name_or_path", "attention_dropout", "attention_probs_dropout_prob", "bos_token_id",
    "classifier_dropout", "dtype", "eos_token_id", "gradient_checkpointing", "hidden_dropout_prob",
    "initializer_range", "is_llama_config", "output_attentions", "output_hidden_states", "pad_token_id",
    "pretraining_tp", "return_dict", "torch_dtype", "transformers.js_config", "transformers_version",
    "unsloth_fixed", "unsloth_version", "use_cache",
})  # fmt: skip
"""Fields that tell nothing of how a model computes: of training, of types of files, of programs, of ids."""


def require_known(fields: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises UnsupportedModel where config.json has fields that are neither known nor of TELLS_NOTHING."""
    if strange := sorted(set(fields) - set(known) - TELLS_NOTHING):
        raise unsupported(
            f"config.json has {', '.join(f'{name} = {str(fields[name])[:60]}' for name in strange[:5])}, "
            "which it does not know.",
            strange[0],
            fields[strange[0]],
        )


def unsupported(message: str, name: str, value: object) -> UnsupportedModel:
    """The error for a model that the engine does not compute."""
    return UnsupportedModel(
        f"Not a model this engine computes: {message}",
        way_out="Use a Llama, Mistral, Qwen2, Qwen3 or BERT encoder with its own files. A field of config.json that "
        "tells nothing of how the model computes may be taken out.",
        **{name: value},
    )
