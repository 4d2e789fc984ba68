"""What a host must show before it may sign exact work: a sound way to multiply, and the right logits.

Three kinds of known answers, all of integers, so that they hold on every host or the host is wrong:
- products of the largest integers that can occur, in the sizes that choose other kernels (one row, many, long rows);
- integer square roots next to perfect squares, where a seed that is off shows;
- the logits of a small Llama of fixed integers, prefill and decode, and the states and vectors of a small encoder,
  against pinned hashes that the references confirm; on a GPU, decode by graphs too.

A way to multiply that fails is not used; a GPU on which all fail by graphs goes without graphs; a host on which none
passes gets no engine.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import isqrt, prod

import numpy as np
import torch
from torch import Tensor

from node_agent.execution import determinism
from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import tables
from node_agent.execution.exact.base_model import square_root
from node_agent.execution.exact.container import Integers, ModelConfig
from node_agent.execution.exact.encoder import ExactEncoder
from node_agent.execution.exact.encoder_file import EncoderConfig, EncoderParameters
from node_agent.execution.exact.model import ExactLlama
from node_agent.execution.exact.model_file import ExactConfig, Parameters
from node_agent.execution.exact.products import ALL, Products, by_name
from node_agent.execution.exact.static_decoding import StaticDecoder

GOLDEN_LOGITS = "639954f23c2366193830836c22660d41cee0a1328446b84a08b7d166c1abd351"
"""sha256 of the golden model's logits after each of GOLDEN_TOKENS, as int32 little-endian."""

GOLDEN_VECTORS = "499cb08bc56007fda6211fc9c56fc66a8638fb321262e0e6e4755d86fbd7dd57"
"""sha256 of the golden encoder's states, as int32 little-endian, and vector of each of GOLDEN_TEXTS."""

GOLDEN_TOKENS = tuple((7 * index * index + 3) % 96 for index in range(24))

GOLDEN_JOINS = (0, 2, 7)
"""Steps at which the texts decoded together join, so that slots are added, moved, empty and taken again."""

GOLDEN_TEXTS = (GOLDEN_TOKENS, GOLDEN_TOKENS[5:8])

_GOLDEN_CONFIG = ExactConfig(
    vocab_size=96,
    hidden_size=64,
    intermediate_size=1056,  # longer than one piece of `Fp32Products`
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


@dataclass(frozen=True)
class Report:
    """A passed self-test.

    Attributes:
        device: where it ran.
        products: the way to multiply that was chosen.
        graphs: whether it is sound in CUDA graphs; means nothing elsewhere than on a GPU.
        unsound: those tried before it, with what went wrong.
    """

    device: str
    products: str
    graphs: bool
    unsound: dict[str, str]


def run(device: torch.device) -> Report:
    """Find the first of `products.ALL` that is sound here, with graphs if one is; takes about a second on a CPU.

    Raises:
        SelfTestFailed: none is; nothing that this host computes may be signed.
    """
    determinism.full_precision()
    eager = [by_name(each.name, graphs=False) for each in ALL] if device.type == "cuda" else []
    unsound: dict[str, str] = {}
    for products in (*ALL, *eager):
        name = products.name if products.graphs else f"{products.name} without graphs"
        try:
            require_sound(products, device)
        except SelfTestFailed as error:
            unsound[name] = error.message
        except RuntimeError as error:  # torch has no such kernel on this device, or cannot capture it
            unsound[name] = str(error).splitlines()[0]
        else:
            return Report(str(device), products.name, products.graphs, unsound)
    raise SelfTestFailed(
        f"No way to multiply is exact on {device}: {unsound}.",
        way_out="Use an unmodified build of torch. Until one passes, this host signs nothing.",
        check="products",
        expected="one sound way",
        found=unsound,
    )


@cache
def sound_products(device: str) -> Products:
    """The chosen way to multiply, tested once a process and device. Raises as `run` does."""
    report = run(torch.device(device))
    return by_name(report.products, report.graphs)


@torch.inference_mode()
def require_sound(products: Products, device: torch.device) -> None:
    """Raises SelfTestFailed where one way to multiply, or anything else that a model runs, computes a wrong number."""
    for inputs, outputs in ((64, 48), (576, 960), (1032, 16), (1536, 576), (4104, 24)):
        for rows in (1, 33):
            _linear(products, device, rows, inputs, outputs)
    _attention(products, device)
    _square_roots(device)
    for name, chunk in (("prefill", len(GOLDEN_TOKENS)), ("decode", 1)):
        found = golden_hash(ExactLlama(golden_parameters(), products, device), chunk)
        _require(products, f"golden logits, {name}", GOLDEN_LOGITS, found)
    if device.type == "cuda" and products.graphs:
        hashes = golden_static_hashes(ExactLlama(golden_parameters(), products, device))
        _require(products, "golden logits, decode by graphs", {GOLDEN_LOGITS}, hashes)
    found = golden_vectors_hash(ExactEncoder(golden_encoder(), products, device))
    _require(products, "golden vectors", GOLDEN_VECTORS, found)


def golden_hash(model: ExactLlama, chunk: int) -> str:
    """Hex sha256 of the golden model's logits, its tokens read in chunks."""
    state, digest = model.new_cache(len(GOLDEN_TOKENS)), hashlib.sha256()
    for start in range(0, len(GOLDEN_TOKENS), chunk):
        logits = model.logits(model.forward([(GOLDEN_TOKENS[start : start + chunk], state)]))
        digest.update(logits.cpu().numpy().astype("<i4").tobytes())
    return digest.hexdigest()


def golden_static_hashes(model: ExactLlama) -> set[str]:
    """Hex sha256 of the golden model's logits for each of some texts decoded together by steps of fixed shapes."""
    texts = [(join, model.new_cache(len(GOLDEN_TOKENS)), hashlib.sha256()) for join in GOLDEN_JOINS]
    decoder = StaticDecoder(model)
    for step in range(max(GOLDEN_JOINS) + len(GOLDEN_TOKENS)):
        here = [each for each in texts if each[0] <= step < each[0] + len(GOLDEN_TOKENS)]
        logits = decoder.logits([(GOLDEN_TOKENS[step - join], state) for join, state, _ in here])
        for (_, _, digest), row in zip(here, logits.cpu().numpy().astype("<i4"), strict=True):
            digest.update(row.tobytes())
    return {digest.hexdigest() for _, _, digest in texts}


def golden_vectors_hash(model: ExactEncoder) -> str:
    """Hex sha256 of what the golden encoder makes of GOLDEN_TEXTS together."""
    digest, lengths = hashlib.sha256(), [len(text) for text in GOLDEN_TEXTS]
    by_layer = [torch.split(states, lengths) for states in model.forward(GOLDEN_TEXTS)]
    for states in zip(*by_layer, strict=True):
        for rows in (*(each.tolist() for each in states), model.vector(states[-1])):
            digest.update(np.array(rows, "<i4").tobytes())
    return digest.hexdigest()


@cache
def golden_parameters() -> Parameters:
    """A small Llama of fixed integers, the same on every host."""
    return fixed_llama(_GOLDEN_CONFIG, qkv_exponent=32)


def fixed_llama(config: ExactConfig, qkv_exponent: int) -> Parameters:
    """A Llama of any size of fixed integers, the same on every host. The larger the exponent, the more positions are
    attended to."""
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
    """Tensors by name: those made already, and noise of a size that keeps a model alive for the others."""
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


def _linear(products: Products, device: torch.device, rows: int, inputs: int, outputs: int) -> None:
    """The largest activations times the largest weights: all of one sign, alternating, and mixed."""
    noise = torch.from_numpy(mixed(rows * inputs, 1).astype(np.int64)).view(rows, inputs)
    for name, x in {
        "largest": torch.full((rows, inputs), a.ACTIVATION_MAX),
        "smallest": torch.full((rows, inputs), -a.ACTIVATION_MAX),
        "extremes": (noise % 2 * 2 - 1) * a.ACTIVATION_MAX,
        "any": noise % (2 * a.ACTIVATION_MAX + 1) - a.ACTIVATION_MAX,
    }.items():
        weight = _worst_weights(outputs, inputs)
        expected = _by_hand(x, weight)
        found = products.linear(x.to(device), products.prepare(weight.to(device))).cpu()
        wrong = int((found != expected).sum())
        _require(products, f"{rows} x {inputs} x {outputs}, {name} activations: wrong entries", 0, wrong)


def _by_hand(x: Tensor, weight: Tensor) -> Tensor:
    """The product in int64, a row at a time so that it stays small."""
    wide = weight.to(torch.int64)
    return torch.stack([(row * wide).sum(-1) for row in x])


def _worst_weights(outputs: int, inputs: int) -> Tensor:
    """(O, I) int8: rows of 127, of -127, alternating, and mixed, in turn."""
    noise = torch.from_numpy(mixed(outputs * inputs, 2).astype(np.int64)).view(outputs, inputs)
    weight = noise % (2 * a.WEIGHT_MAX + 1) - a.WEIGHT_MAX
    weight[0::4], weight[1::4] = a.WEIGHT_MAX, -a.WEIGHT_MAX
    weight[2::4] = (torch.arange(inputs) % 2 * 2 - 1) * a.WEIGHT_MAX
    weight[:3, -1] -= weight[:3, -1].sign()  # makes the largest sums odd, so that a lost last bit shows
    return weight.to(torch.int8)


def _attention(products: Products, device: torch.device) -> None:
    """Queries, keys, shares and values at their largest: sums just below 2^24, odd, so that a lost bit shows."""
    kind = products.attention_type
    for head_dim in (32, 64, 128, 256):
        query_bits, key_bits = a.query_key_bits(head_dim)
        query, key = (1 << (query_bits - 1)) - 1, (1 << (key_bits - 1)) - 1
        queries = torch.full((2, 3, head_dim), query, dtype=kind, device=device)
        keys = torch.full((2, 40, head_dim), -key, dtype=kind, device=device)
        keys[:, :, -1] += 1
        scores = torch.bmm(queries, keys.transpose(1, 2))
        _require(
            products, f"scores at width {head_dim}", {-query * (key * head_dim - 1)}, set(scores.flatten().tolist())
        )
    shares = torch.full((2, 3, 4096), (1 << a.PROBABILITY_BITS) // 4096, dtype=kind, device=device)
    values = torch.full((2, 4096, 64), (1 << (a.VALUE_BITS - 1)) - 1, dtype=kind, device=device)
    values[:, 77], shares[:, :, 77] = 1, 1
    expected = (4095 * 16 * 255) + 1
    _require(products, "mixtures of 4096 values", {expected}, set(torch.bmm(shares, values).flatten().tolist()))


def _square_roots(device: torch.device) -> None:
    roots = [2**30, 2**30 + 1, 2**31 - 1, *(2**30 + 7919 * index * index for index in range(300))]
    squares = [root * root + step for root in roots for step in (-1, 0, 1) if 2**60 <= root * root + step < 2**62]
    found = square_root(torch.tensor(squares, device=device)).tolist()
    if found != [isqrt(square) for square in squares]:
        _fail("integer square roots", "the roots rounded down", "others")


def _require(products: Products, check: str, expected: object, found: object) -> None:
    if expected != found:
        _fail(f"{products.name}: {check}", expected, found)


def _fail(check: str, expected: object, found: object) -> None:
    raise SelfTestFailed(
        f"Self-test '{check}' must give {expected}, and gave {found}.",
        way_out="Use an unmodified build of torch, and let nothing set its or oneDNN's switches.",
        check=check,
        expected=expected,
        found=found,
    )
