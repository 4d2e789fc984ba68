"""Torch's ways to multiply on a device, and the self-test of each.

There are three kinds of known answers: products of the largest possible integers, in sizes that choose different
kernels; integer square roots next to perfect squares, where a wrong seed shows; and the golden models, on a GPU by CUDA
graphs too. Where a way fails with graphs, the GPU may still use it without.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch

from node_agent.execution import determinism
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import golden
from node_agent.execution.exact.eager.base import square_root
from node_agent.execution.exact.eager.encoder import EagerEncoder
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.products import ALL, Products, by_name
from node_agent.execution.exact.eager.static_decoding import StaticDecoder
from node_agent.execution.exact.encoder.model_file import EncoderParameters
from node_agent.execution.exact.golden import GOLDEN_JOINS, GOLDEN_LOGITS, GOLDEN_TOKENS, GOLDEN_VECTORS, require
from node_agent.execution.exact.llama.model_file import Parameters
from node_agent.execution.exact.ways import Sound, tried


@dataclass(frozen=True)
class EagerWay:
    """See `port.Way`: one way to multiply, on a device."""

    products: Products
    device: torch.device

    @property
    def name(self) -> str:
        graphs = "" if self.device.type != "cuda" else " with graphs" if self.products.graphs else " without graphs"
        return f"torch {self.products.name} on {self.device}{graphs}"

    def llama(self, parameters: Parameters) -> EagerLlama:
        return EagerLlama(parameters, self.products, self.device)

    def encoder(self, parameters: EncoderParameters) -> EagerEncoder:
        return EagerEncoder(parameters, self.products, self.device)


def ways_of(device: str) -> Sequence[EagerWay]:
    """Every way on a device; on a GPU both with and without graphs."""
    where = torch.device(device)
    ways = [EagerWay(products, where) for products in ALL]
    if where.type == "cuda":
        ways += [EagerWay(by_name(products.name, graphs=False), where) for products in ALL]
    return ways


@cache
def sound_ways(device: str) -> Sound:
    """Tries every way of torch on a device, once a process."""
    return tried(ways_of(device), require_sound)


@torch.inference_mode()
def require_sound(way: EagerWay) -> None:
    """Raises SelfTestFailed where a way to multiply, or another operation of the models, gives a wrong number."""
    determinism.full_precision()
    for inputs, outputs in golden.WORST_SHAPES:
        for rows in (1, 33):
            _linear(way, rows, inputs, outputs)
    _attention(way.products, way.device)
    golden.require_square_roots(way.name, lambda values: square_root(torch.tensor(values, device=way.device)).tolist())
    for reading, chunk in (("prefill", len(GOLDEN_TOKENS)), ("decode", 1)):
        found = golden.golden_hash(way.llama(golden.golden_parameters()), chunk)
        require(f"{way.name}: golden logits, {reading}", GOLDEN_LOGITS, found)
        found = golden.golden_hash(way.llama(golden.golden_family()), chunk)
        require(f"{way.name}: golden logits of families, {reading}", golden.GOLDEN_FAMILY_LOGITS, found)
    if way.device.type == "cuda" and way.products.graphs:
        hashes = golden_static_hashes(way.llama(golden.golden_parameters()))
        require(f"{way.name}: golden logits, decode by graphs", {GOLDEN_LOGITS}, hashes)
    found = golden.golden_vectors_hash(way.encoder(golden.golden_encoder()))
    require(f"{way.name}: golden vectors", GOLDEN_VECTORS, found)


def golden_static_hashes(model: EagerLlama) -> set[str]:
    """Hex sha256 of the golden model's logits, for each of several texts decoded together in steps of fixed shapes."""
    texts = [(join, model.new_cache(len(GOLDEN_TOKENS)), hashlib.sha256()) for join in GOLDEN_JOINS]
    decoder = StaticDecoder(model)
    for step in range(max(GOLDEN_JOINS) + len(GOLDEN_TOKENS)):
        here = [each for each in texts if each[0] <= step < each[0] + len(GOLDEN_TOKENS)]
        logits = decoder.logits([(GOLDEN_TOKENS[step - join], state) for join, state, _ in here])
        for (_, _, digest), row in zip(here, logits.cpu().numpy().astype("<i4"), strict=True):
            digest.update(row.tobytes())
    return {digest.hexdigest() for _, _, digest in texts}


def _linear(way: EagerWay, rows: int, inputs: int, outputs: int) -> None:
    """The largest activations times the largest weights: all of one sign, alternating, and mixed."""
    weight = golden.worst_weights(outputs, inputs)
    prepared = way.products.prepare(torch.from_numpy(weight).to(way.device))
    for name, x in golden.worst_activations(rows, inputs).items():
        expected = torch.from_numpy(x @ weight.T.astype("int64"))
        found = way.products.linear(torch.from_numpy(x).to(way.device), prepared).cpu()
        wrong = int((found != expected).sum())
        require(f"{way.name}: {rows} x {inputs} x {outputs}, {name} activations: wrong entries", 0, wrong)


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
        expected = {-query * (key * head_dim - 1)}
        require(f"{products.name}: scores at width {head_dim}", expected, set(scores.flatten().tolist()))
    shares = torch.full((2, 3, 4096), (1 << a.PROBABILITY_BITS) // 4096, dtype=kind, device=device)
    values = torch.full((2, 4096, 64), (1 << (a.VALUE_BITS - 1)) - 1, dtype=kind, device=device)
    values[:, 77], shares[:, :, 77] = 1, 1
    mixtures = set(torch.bmm(shares, values).flatten().tolist())
    require(f"{products.name}: mixtures of 4096 values", {(4095 * 16 * 255) + 1}, mixtures)
