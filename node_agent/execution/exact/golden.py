"""Known answers: small models of fixed integers, the same on every host, and the hashes of their results.

Tests confirm the pinned hashes by the references (`llama/reference.py`, `encoder/reference.py`). A host that gets
another hash computes wrongly (`ways.py`).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from math import isqrt, prod

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import tables
from node_agent.execution.exact.container import Integers, ModelConfig
from node_agent.execution.exact.encoder.model_file import EncoderConfig, EncoderParameters
from node_agent.execution.exact.llama.model_file import ExactConfig, Parameters
from node_agent.execution.exact.port import EncoderModel, LlamaModel, Reading

GOLDEN_LOGITS = "639954f23c2366193830836c22660d41cee0a1328446b84a08b7d166c1abd351"
"""sha256 of the golden model's logits after each of GOLDEN_TOKENS, as int32 little-endian."""

GOLDEN_FAMILY_LOGITS = "f9dda0082d77e8c4966920200fe53d9c45b4fd143e74db5ec3a42826b4961b03"
"""The same of the model with all that families of Llamas add: a window, biases, norms of heads."""

GOLDEN_VECTORS = "499cb08bc56007fda6211fc9c56fc66a8638fb321262e0e6e4755d86fbd7dd57"
"""sha256 of the golden encoder's states and vector of each of GOLDEN_TEXTS, as int32 little-endian."""

GOLDEN_TOKENS = tuple((7 * index * index + 3) % 96 for index in range(24))

GOLDEN_JOINS = (0, 2, 7)
"""Steps at which the texts decoded together join, so that slots are added, moved, empty and taken again."""

GOLDEN_TEXTS = (GOLDEN_TOKENS, GOLDEN_TOKENS[5:8])

_GOLDEN_CONFIG = ExactConfig(
    vocab_size=96,
    hidden_size=64,
    intermediate_size=1056,  # longer than one piece of fp32 products
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
    positions=32,
    tied=True,
    epsilon=703_687_442,  # 1e-5 * 64 * 2^40
    query_bits=10,
    key_bits=10,
    source_sha256="0" * 64,
)

_GOLDEN_ENCODER = EncoderConfig(
    vocab_size=96,
    hidden_size=96,
    intermediate_size=1056,
    num_hidden_layers=2,
    num_attention_heads=3,
    positions=32,
    epsilon=972_778,  # 1e-12 * 96^3 * 2^40
    query_bits=10,
    key_bits=10,
    source_sha256="0" * 64,
)


@cache
def golden_parameters() -> Parameters:
    """A small Llama of fixed integers, the same on every host."""
    return fixed_llama(_GOLDEN_CONFIG, qkv_exponent=32)


@cache
def golden_family() -> Parameters:
    """The same, with a window, biases and norms of heads."""
    head_epsilon = 687_195  # 1e-5 * 16 * 2^32
    return fixed_llama(replace(_GOLDEN_CONFIG, window=7, head_epsilon=head_epsilon, qkv_bias=True), qkv_exponent=32)


def fixed_llama(config: ExactConfig, qkv_exponent: int) -> Parameters:
    """A Llama of any size of fixed integers, the same on every host. A larger exponent spreads attention over more
    positions."""
    cos, sin = tables.rotary_tables(config.head_dim, config.positions, tables.rational(10_000), None)
    made: dict[str, Integers] = {"table.exp2": tables.exp2_table(), "table.sigmoid": tables.sigmoid_table()}
    made["table.cos"], made["table.sin"] = cos, sin
    for index in range(config.num_hidden_layers):
        made[f"layers.{index}.qkv.exponent"] = np.array([qkv_exponent], np.int32)
    return Parameters.assemble(config, _fixed_integers(config, made))


@cache
def golden_encoder() -> EncoderParameters:
    """A small encoder of fixed integers, the same on every host."""
    made: dict[str, Integers] = {"table.exp2": tables.exp2_table(), "table.normal": tables.normal_table()}
    for index in range(_GOLDEN_ENCODER.num_hidden_layers):  # smaller, so that more than one position is attended to
        made[f"layers.{index}.qkv.exponent"] = np.array([34], np.int32)
    return EncoderParameters.assemble(_GOLDEN_ENCODER, _fixed_integers(_GOLDEN_ENCODER, made))


def _fixed_integers(config: ModelConfig, made: Mapping[str, Integers]) -> Callable[[str], Integers]:
    """Tensors by name: the ones in `made`; for the others noise of a size at which activations neither die nor grow."""
    shapes = config.shapes()

    def tensor(name: str) -> Integers:
        if name in made:
            return made[name]
        shape, kind = shapes[name]
        noise = mixed(prod(shape), list(shapes).index(name)).reshape(shape)
        width, least = {
            "weight": (2 * a.WEIGHT_MAX + 1, -a.WEIGHT_MAX),
            "multiplier": (2**23, 2**23),
            "exponent": (1, 32),
            "bias": (2**18, -(2**17)),
            "position": (2**21, -(2**20)),
        }.get(name.rpartition(".")[2], (2**20, 2**18))  # gains of 0.5 to 2.5, for sqrt(C) = 8
        return ((noise % np.uint64(width)).astype(np.int64) + least).astype(kind)

    return tensor


def mixed(count: int, stream: int) -> Integers:
    """`count` uint64 of a stream, by the mixer of splitmix64 (Steele, Lea, Flood 2014)."""
    x = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(stream << 32)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x >> np.uint64(31)


def golden_hash(model: LlamaModel, chunk: int) -> str:
    """Hex sha256 of the golden model's logits, its tokens read in chunks."""
    cache, digest = model.new_cache(len(GOLDEN_TOKENS)), hashlib.sha256()
    for start in range(0, len(GOLDEN_TOKENS), chunk):
        tokens = GOLDEN_TOKENS[start : start + chunk]
        digest.update(model.read([Reading(tokens, cache, len(tokens))]).astype("<i4").tobytes())
    return digest.hexdigest()


def golden_vectors_hash(model: EncoderModel) -> str:
    """Hex sha256 of what the golden encoder makes of GOLDEN_TEXTS together."""
    digest = hashlib.sha256()
    ends = np.cumsum([len(text) for text in GOLDEN_TEXTS])
    by_layer = [np.split(states, ends[:-1]) for states in model.states(GOLDEN_TEXTS)]
    for states in zip(*by_layer, strict=True):
        for rows in (*states, np.array(model.vector(states[-1]))):
            digest.update(rows.astype("<i4").tobytes())
    return digest.hexdigest()


def require(check: str, expected: object, found: object) -> None:
    """Raises SelfTestFailed where `found` is not the known answer."""
    if expected != found:
        raise SelfTestFailed(
            f"Self-test '{check}' must give {expected}, and gave {found}.",
            way_out="Use an unmodified release, and do not change its libraries' switches. Until the test passes, this "
            "host signs nothing with it.",
            check=check,
            expected=expected,
            found=found,
        )


def require_square_roots(name: str, square_roots: Callable[[list[int]], list[int]]) -> None:
    """Raises SelfTestFailed where a way gets integer square roots wrong: next to perfect squares of its whole range."""
    roots = [2**30, 2**30 + 1, 2**31 - 1, *(2**30 + 7919 * index * index for index in range(300))]
    squares = [root * root + step for root in roots for step in (-1, 0, 1) if 2**60 <= root * root + step < 2**62]
    found = zip(squares, square_roots(squares), strict=True)
    require(f"{name}: wrong square roots", [], [square for square, root in found if root != isqrt(square)])


def worst_activations(rows: int, inputs: int) -> dict[str, NDArray[np.int64]]:
    """(T, I) activations by name: the largest of one sign, of both signs, and arbitrary ones."""
    noise = mixed(rows * inputs, 1).astype(np.int64).reshape(rows, inputs)
    return {
        "largest": np.full((rows, inputs), a.ACTIVATION_MAX),
        "smallest": np.full((rows, inputs), -a.ACTIVATION_MAX),
        "extremes": (noise % 2 * 2 - 1) * a.ACTIVATION_MAX,
        "any": noise % (2 * a.ACTIVATION_MAX + 1) - a.ACTIVATION_MAX,
    }


def worst_weights(outputs: int, inputs: int) -> NDArray[np.int8]:
    """(O, I): rows of 127, of -127, alternating, and mixed, in turn."""
    noise = mixed(outputs * inputs, 2).astype(np.int64).reshape(outputs, inputs)
    weight = noise % (2 * a.WEIGHT_MAX + 1) - a.WEIGHT_MAX
    weight[0::4], weight[1::4] = a.WEIGHT_MAX, -a.WEIGHT_MAX
    weight[2::4] = (np.arange(inputs) % 2 * 2 - 1) * a.WEIGHT_MAX
    weight[:3, -1] -= np.sign(weight[:3, -1])  # makes the largest sums odd, so that a lost last bit shows
    return weight.astype(np.int8)


WORST_SHAPES = ((64, 48), (576, 960), (1032, 16), (1536, 576), (4104, 24))
"""Inputs and outputs of the self-test's products: they choose different kernels, and long rows fill 32 bits."""
