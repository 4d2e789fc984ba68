"""What a GGUF file says of how its model computes, and the config.json and tensors of Hugging Face that say the same.

Every field and every tensor is read here, must have the one value that is computed, or tells nothing of how the model
computes. One that is none of these is refused by its name, so that no file is converted into another model. References:
the GGUF specification (ggml/docs/gguf.md) and llama.cpp (`convert_hf_to_gguf.py`, `llama-model.cpp`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.model_files import Fp32

_LAYER_PARTS = {
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}
_TOP_NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_ROTARY_FACTORS = "rope_freqs.weight"

_FIELDS = frozenset({
    "block_count", "context_length", "embedding_length", "feed_forward_length", "vocab_size",
    "attention.head_count", "attention.head_count_kv", "attention.layer_norm_rms_epsilon", "attention.key_length",
    "attention.value_length", "rope.dimension_count", "rope.freq_base", "rope.scaling.type", "rope.scaling.factor",
    "rope.scaling.original_context_length", "rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow",
    "rope.scaling.finetuned",
})  # fmt: skip
"""All that is read of how any architecture computes, behind its name and a dot; the last tells nothing."""

_FIXED: Mapping[str, object] = {
    "attention.causal": True, "expert_count": 0, "expert_used_count": 0, "rope.scaling.attn_factor": 1.0,
    "rope.scaling.yarn_ext_factor": 1.0, "rope.scaling.yarn_attn_factor": 1.0,
}  # fmt: skip
"""Fields with the only value that is computed."""

_TELL_NOTHING = ("GGUF.", "general.", "tokenizer.", "quantize.imatrix.")
"""Of the file, of whose it is, of its words (`gguf_convert.py` reads those), and of how it was quantised."""

_TYPES = frozenset({
    GGMLQuantizationType[name]
    for name in ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K")
})  # fmt: skip


@dataclass(frozen=True)
class _Architecture:
    """One of llama.cpp's architectures.

    Attributes:
        model_type, name: its `model_type` and class in Hugging Face transformers.
        more: tensors of its layers beside those of all, with their names on Hugging Face.
        interleaved: whether llama.cpp reorders the rows of queries and keys so that rotary pairs lie side by side.
    """

    model_type: str
    name: str
    more: Mapping[str, str] = field(default_factory=dict)
    interleaved: bool = False


_ARCHITECTURES: Mapping[str, _Architecture] = {
    "llama": _Architecture("llama", "LlamaForCausalLM", interleaved=True),  # and Mistral
    "qwen2": _Architecture(
        "qwen2", "Qwen2ForCausalLM", {f"attn_{part}.bias": f"self_attn.{part}_proj.bias" for part in "qkv"}
    ),
    "qwen3": _Architecture(
        "qwen3", "Qwen3ForCausalLM", {f"attn_{part}_norm.weight": f"self_attn.{part}_norm.weight" for part in "qk"}
    ),
}
_WINDOW = "attention.sliding_window"


class GgufModel:
    """A GGUF file of an architecture that is known, all of whose fields and tensors are.

    Attributes:
        config: as config.json has it.
        shapes: of its tensors, by their names on Hugging Face.

    Raises UnsupportedModel.
    """

    def __init__(self, reader: GGUFReader) -> None:
        self._reader = reader
        architecture = self._said("general.architecture")
        if architecture not in _ARCHITECTURES or self._said("general.type", "model") != "model":
            raise unsupported("general.architecture", architecture)
        self._prefix, self._kind = f"{architecture}.", _ARCHITECTURES[architecture]
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self._require_known_fields()
        self._heads = self._whole("attention.head_count")
        self._kv_heads = self._whole("attention.head_count_kv", self._heads)
        self.config = self._config()
        self._names = self._require_all_tensors()
        found = {hugging_face: self._tensors[name].shape for hugging_face, name in self._names.items()}
        self.shapes = {name: tuple(int(size) for size in reversed(shape)) for name, shape in found.items()}

    def tensor(self, name: str) -> Fp32:
        """A tensor by its name on Hugging Face. Multiplies and adds in fp32, one rounding each."""
        values = self._fp32(self._names[name])
        if self._kind.interleaved and name.endswith(("q_proj.weight", "k_proj.weight")):
            return _half_split(values, self._heads if name.endswith("q_proj.weight") else self._kv_heads)
        return values

    def _fp32(self, name: str) -> Fp32:
        tensor = self._tensors[name]
        values: Fp32 = dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        return values

    def _require_known_fields(self) -> None:
        known = {self._prefix + name for name in (*_FIELDS, *_FIXED)}
        if self._kind.model_type == "llama":
            known.add(self._prefix + _WINDOW)
        for name in sorted(self._reader.fields):
            if name not in known and not name.startswith(_TELL_NOTHING):
                raise unsupported(name, self._said(name))
        for name, only in _FIXED.items():
            if self._optional(name, only) != only:
                raise unsupported(self._prefix + name, self._optional(name))
        for tensor in self._tensors.values():
            if tensor.tensor_type not in _TYPES:
                raise unsupported(f"the type of {tensor.name}", tensor.tensor_type.name)

    def _require_all_tensors(self) -> dict[str, str]:
        """Names of tensors by those on Hugging Face. Raises UnsupportedModel where one is missing, or has no use."""
        layers = self.config["num_hidden_layers"]
        if layers > len(self._tensors):
            raise unsupported("its tensors", f"not those of its {layers} layers, but {len(self._tensors)}")
        parts = {**_LAYER_PARTS, **self._kind.more}
        names = {f"blk.{layer}.{ours}": f"model.layers.{layer}.{theirs}"
                 for layer in range(layers) for ours, theirs in parts.items()}  # fmt: skip
        names |= _TOP_NAMES
        if self.config["tie_word_embeddings"]:
            del names["output.weight"]
        found = set(self._tensors) - {_ROTARY_FACTORS}
        if set(names) != found:
            raise unsupported(
                "its tensors", f"not those of its {layers} layers: {', '.join(sorted(set(names) ^ found)[:5])}"
            )
        for layer in range(layers):
            self._require_heads(f"blk.{layer}.attn_q.weight", self._heads)
            self._require_heads(f"blk.{layer}.attn_k.weight", self._kv_heads)
        return {theirs: ours for ours, theirs in names.items()}

    def _require_heads(self, name: str, heads: int) -> None:
        """Raises UnsupportedModel where a matrix has not the rows of its heads: their order would be lost."""
        rows, wanted = int(self._tensors[name].shape[-1]), heads * self.config["head_dim"]
        if rows != wanted:
            said = "head_count" if self._optional("attention.key_length") is None else "key_length"
            raise unsupported(f"{self._prefix}attention.{said}", f"for {wanted} rows, and {name} has {rows}")

    def _config(self) -> dict[str, Any]:
        width, window = self._whole("embedding_length"), self._optional(_WINDOW)
        head_dim = self._whole("attention.key_length", width // self._heads)
        vocabulary = len(self._said("tokenizer.ggml.tokens"))
        for name, only in (
            ("rope.dimension_count", head_dim), ("attention.value_length", head_dim), ("vocab_size", vocabulary)
        ):  # fmt: skip
            if self._optional(name, only) != only:
                raise unsupported(self._prefix + name, f"{self._optional(name)}, not {only}")
        if self._kind.interleaved:  # the order of rows depends on it, and nothing else in the file tells it
            self._whole("rope.dimension_count")
        if head_dim * self._heads != width and self._optional("attention.key_length") is None:
            raise unsupported(self._prefix + "attention.head_count", f"{self._heads}, which does not divide {width}")
        tokens = {f"{name}_token_id": self._said(f"tokenizer.ggml.{name}_token_id", None) for name in ("bos", "eos")}
        config: dict[str, Any] = {
            "architectures": [self._kind.name],
            "attention_bias": self._kind.model_type == "qwen2",
            **{name: int(token) for name, token in tokens.items() if token is not None},
            "dtype": "float32",
            "head_dim": head_dim,
            "hidden_act": "silu",
            "hidden_size": width,
            "intermediate_size": self._whole("feed_forward_length"),
            "max_position_embeddings": self._whole("context_length"),
            "mlp_bias": False,
            "model_type": self._kind.model_type,
            "num_attention_heads": self._heads,
            "num_hidden_layers": self._whole("block_count"),
            "num_key_value_heads": self._kv_heads,
            "rms_norm_eps": self._real("attention.layer_norm_rms_epsilon"),
            "rope_scaling": self._rotary_scaling(head_dim),
            "rope_theta": self._real("rope.freq_base"),
            "tie_word_embeddings": "output.weight" not in self._tensors,
            "vocab_size": vocabulary,
        }
        if window is not None:
            mistral = {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
            config |= mistral | {"sliding_window": self._whole(_WINDOW)}
        return config

    def _rotary_scaling(self, head_dim: int) -> dict[str, Any] | None:
        """As config.json has it. llama.cpp divides frequencies by the tensor of factors, which Llama 3 has."""
        factor = self._optional("rope.scaling.factor")
        kind = self._optional("rope.scaling.type", "none" if factor is None else "linear")
        factors = self._tensors.get(_ROTARY_FACTORS)
        said = {name for name in self._reader.fields if name.startswith(self._prefix + "rope.scaling.")}
        of_kind = {"none": set[str](), "linear": {"factor"}}.get(
            kind, {"factor", "original_context_length", "yarn_beta_fast", "yarn_beta_slow"} if kind == "yarn" else None
        )
        of_all = {"type", "finetuned", "attn_factor", "yarn_ext_factor", "yarn_attn_factor"}
        if of_kind is None or (factors is not None and kind != "none"):
            raise unsupported(self._prefix + "rope.scaling.type", kind)
        if strange := sorted(said - {f"{self._prefix}rope.scaling.{name}" for name in of_kind | of_all}):
            raise unsupported(strange[0], f"{self._said(strange[0])}, where the type is {kind}")
        if factors is not None:
            each = [_shortest(value) for value in self._fp32(_ROTARY_FACTORS)]
            if len(each) != head_dim // 2:
                raise unsupported(_ROTARY_FACTORS, f"of {len(each)} numbers, not {head_dim // 2}")
            length = self._whole("context_length")
            return {"rope_type": "longrope", "long_factor": each, "short_factor": each, "attention_factor": 1.0,
                    "original_max_position_embeddings": length}  # fmt: skip
        if kind == "none":
            return None
        scaling: dict[str, Any] = {"rope_type": kind, "factor": self._real("rope.scaling.factor")}
        if kind == "yarn":
            scaling["original_max_position_embeddings"] = self._whole("rope.scaling.original_context_length")
            for name in ("beta_fast", "beta_slow"):
                if self._optional(f"rope.scaling.yarn_{name}") is not None:
                    scaling[name] = self._real(f"rope.scaling.yarn_{name}")
        return scaling

    def _said(self, name: str, *default: object) -> Any:
        found = self._reader.get_field(name)
        if found is None:
            if default:
                return default[0]
            raise unsupported(name, "absent")
        return found.contents()

    def _optional(self, name: str, default: object = None) -> Any:
        return self._said(self._prefix + name, default)

    def _whole(self, name: str, *default: int) -> int:
        """A positive integer of the architecture."""
        value = self._said(self._prefix + name, *default)
        if type(value) is not int or value < 1:
            raise unsupported(self._prefix + name, value)
        return value

    def _real(self, name: str) -> float:
        value = self._said(self._prefix + name)
        if type(value) is not float:
            raise unsupported(self._prefix + name, value)
        return _shortest(value)


def _half_split(rows: Fp32, heads: int) -> Fp32:
    """(heads D, C) rows: rotary pairs go from side by side to half a head apart."""
    out, width = rows.shape
    return rows.reshape(heads, out // heads // 2, 2, width).swapaxes(1, 2).reshape(out, width)


def _shortest(value: object) -> float:
    """The shortest decimal of an fp32 value: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))  # type: ignore[arg-type]


def unsupported(name: str, value: object) -> UnsupportedModel:
    """The error for a file that says something else than what is computed."""
    return UnsupportedModel(
        f"This GGUF file cannot be converted: {name} is {value}.",
        way_out=f"Use a GGUF file of the architectures {', '.join(_ARCHITECTURES)}, as llama.cpp writes them.",
        name=name,
        value=value,
    )
