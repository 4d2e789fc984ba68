"""config.json of the Llamas that the exact engine computes: Llama 2 and 3, SmolLM, Mistral, Qwen2, Qwen3.

Every field of a config.json is read here, must have the one value that the engine computes, or tells nothing of how the
model computes. A field that is none of these is refused by its name, so that no model is built as another one. Meanings
and defaults are those of Hugging Face transformers 5 (`configuration_*.py` and `modeling_rope_utils.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from node_agent.execution.exact import tables
from node_agent.execution.published import require_fixed, require_known, unsupported

_FIXED: Mapping[str, object] = {
    "attention_bias": False,
    "hidden_act": "silu",
    "is_encoder_decoder": False,
    "mlp_bias": False,
    "partial_rotary_factor": 1.0,
    "rope_interleaved": False,
    "sliding_window": None,
    "use_mrope": False,
}
_READ = frozenset({
    "architectures", "head_dim", "hidden_size", "intermediate_size", "layer_types", "max_position_embeddings",
    "model_type", "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "rms_norm_eps",
    "rope_parameters", "rope_scaling", "rope_theta", "tie_word_embeddings", "vocab_size",
})  # fmt: skip
_WINDOWS = frozenset({"sliding_window", "use_sliding_window", "max_window_layers"})

_SCALINGS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "default": (frozenset(), frozenset()),
    "linear": (frozenset({"factor"}), frozenset()),
    "llama3": (
        frozenset({"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}),
        frozenset(),
    ),
    "longrope": (
        frozenset({"attention_factor", "long_factor", "original_max_position_embeddings", "short_factor"}),
        frozenset(),
    ),
    "yarn": (
        frozenset({"factor", "original_max_position_embeddings"}),
        frozenset({"attention_factor", "beta_fast", "beta_slow"}),
    ),
}
"""The kinds of rotary scaling: what each must say, and what it may say."""


@dataclass(frozen=True)
class Family:
    """What a family computes beyond a plain Llama.

    Attributes:
        architecture: its class in transformers, which `architectures` must name where it is there.
        fixed: fields with their only supported value, which is the default too.
        read: fields that it reads beside those of all.
        qkv_bias, head_norms: what its layers have.
    """

    architecture: str
    fixed: Mapping[str, object]
    read: frozenset[str] = frozenset()
    qkv_bias: bool = False
    head_norms: bool = False


def _without(*names: str) -> dict[str, object]:
    return {name: value for name, value in _FIXED.items() if name not in names}


FAMILIES: Mapping[str, Family] = {
    "llama": Family("LlamaForCausalLM", _FIXED),
    "mistral": Family("MistralForCausalLM", _without("sliding_window"), frozenset({"sliding_window"})),
    "qwen2": Family(
        "Qwen2ForCausalLM", _without("sliding_window", "attention_bias") | {"attention_bias": True}, _WINDOWS,
        qkv_bias=True,
    ),
    "qwen3": Family("Qwen3ForCausalLM", _without("sliding_window"), _WINDOWS, head_norms=True),
}  # fmt: skip
"""By model_type."""


@dataclass(frozen=True)
class PublishedLlama:
    """A config.json, read and checked.

    Attributes:
        window: positions that a position sees, itself included; None if all.
        theta, scaling: of the rotary frequencies; `tables.rotary_tables` takes them.
    """

    family: Family
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: Fraction
    tied: bool
    window: int | None
    theta: Fraction
    scaling: Mapping[str, Any] | None


def read_published(fields: Mapping[str, Any]) -> PublishedLlama:
    """Read a config.json. Raises UnsupportedModel, which names the field that is missing, strange or not computed."""
    family = FAMILIES[fields.get("model_type", "llama")]
    require_fixed(fields, family.fixed)
    require_known(fields, {*family.fixed, *family.read, *_READ})
    if fields.get("architectures") not in (None, [family.architecture]):
        raise unsupported(f"architectures is {fields['architectures']!r}.", "architectures", fields["architectures"])
    width, heads = whole(fields, "hidden_size"), whole(fields, "num_attention_heads")
    if fields.get("head_dim") is None and (family.head_norms or width % heads):
        raise unsupported(f"{heads} heads do not divide a width of {width}, and head_dim is absent.", "head_dim", None)
    theta, scaling = _rotary(fields)
    return PublishedLlama(
        family=family,
        vocab_size=whole(fields, "vocab_size"),
        hidden_size=width,
        intermediate_size=whole(fields, "intermediate_size"),
        num_hidden_layers=whole(fields, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=whole(fields, "num_key_value_heads", heads),
        head_dim=whole(fields, "head_dim", width // heads),
        max_position_embeddings=whole(fields, "max_position_embeddings"),
        rms_norm_eps=tables.rational(fields.get("rms_norm_eps")),
        tied=_switch(fields, "tie_word_embeddings"),
        window=_window(fields, family),
        theta=theta,
        scaling=scaling,
    )


def whole(fields: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A field's positive integer; `default` where it is absent or null. Raises UnsupportedModel."""
    value = fields.get(name)
    if value is None and default is not None:
        return default
    if type(value) is not int or not 0 < value < 2**31:
        raise unsupported(f"{name} is {value!r}, not a positive integer.", name, value)
    return value


def _switch(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name, False)
    if type(value) is not bool:
        raise unsupported(f"{name} is {value!r}, neither true nor false.", name, value)
    return value


def _window(fields: Mapping[str, Any], family: Family) -> int | None:
    """The window of all layers. Raises UnsupportedModel where layers differ, or a field that decides is missing."""
    layers, kinds = whole(fields, "num_hidden_layers"), fields.get("layer_types")
    on = "sliding_window" in family.read and (
        "use_sliding_window" not in family.read or _switch(fields, "use_sliding_window")
    )
    if on and "sliding_window" not in fields:
        raise unsupported("sliding_window is absent.", "sliding_window", None)
    window = whole(fields, "sliding_window") if on and fields["sliding_window"] is not None else None
    if kinds is None:
        if window is None or "max_window_layers" not in family.read:
            return window
        kinds = ["sliding_attention" if index >= _count(fields, "max_window_layers") else "full_attention"
                 for index in range(layers)]  # fmt: skip
    if kinds != ["full_attention" if window is None else "sliding_attention"] * layers:
        if kinds == ["full_attention"] * layers:
            return None
        raise unsupported(
            f"its layers see different windows (layer_types, max_window_layers); window {window}.", "layer_types", kinds
        )
    return window


def _count(fields: Mapping[str, Any], name: str) -> int:
    return 0 if fields.get(name) == 0 else whole(fields, name)


def _rotary(fields: Mapping[str, Any]) -> tuple[Fraction, Mapping[str, Any] | None]:
    """theta and scaling, from the places where config.json may have them. Raises UnsupportedModel."""
    found = [fields[name] for name in ("rope_parameters", "rope_scaling") if fields.get(name) is not None]
    if any(not isinstance(each, Mapping) for each in found):
        raise unsupported(f"its rotary scaling is {found!r}.", "rope_scaling", found)
    said = [_scaling(each) for each in found] or [None]
    if any(each != said[0] for each in said):
        raise unsupported("rope_parameters and rope_scaling differ.", "rope_scaling", found)
    thetas = [each["rope_theta"] for each in (fields, *found) if each.get("rope_theta") is not None]
    if not thetas and fields.get("model_type", "llama") == "llama":
        thetas = [10_000.0]  # Llama 2's files leave it out
    if not thetas or any(theta != thetas[0] for theta in thetas):
        raise unsupported(f"rope_theta is {thetas or 'absent'}.", "rope_theta", thetas)
    return tables.rational(thetas[0]), said[0]


def _scaling(given: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A scaling with its kind as `rope_type`, without theta; None for the default."""
    said = {name: value for name, value in given.items() if name not in ("rope_theta", "type", "rope_type")}
    kinds = [given[name] for name in ("type", "rope_type") if given.get(name) is not None] or ["default"]
    kind = kinds[0] if all(each == kinds[0] for each in kinds) else kinds
    if said.pop("partial_rotary_factor", 1.0) != 1.0:
        raise unsupported("partial_rotary_factor is not 1.", "partial_rotary_factor", given)
    if not isinstance(kind, str) or kind not in _SCALINGS:
        raise unsupported(
            f"rotary scaling is {dict(given)!r}; this engine computes {', '.join(_SCALINGS)}.", "rope_scaling", given
        )
    must, may = _SCALINGS[kind]
    if strange := sorted({*must - set(said), *set(said) - must - may}):
        raise unsupported(f"rotary scaling {kind} lacks or has no use for {', '.join(strange)}.", "rope_scaling", given)
    return None if kind == "default" else {"rope_type": kind, **said}
