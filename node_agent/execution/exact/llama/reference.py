"""SPEC.md's Llama in plain Python integers: slow, one position at a time, to be read beside it. Tests compare the fast
paths (`kernels.py`, `eager/`) with it."""

from dataclasses import dataclass, field

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import reference as r
from node_agent.execution.exact.container import Integers
from node_agent.execution.exact.llama.model_file import Parameters


@dataclass
class HeadCache:
    """One layer's, one key/value head's past: (integers, exponent) of each position."""

    keys: list[tuple[r.Vector, int]] = field(default_factory=list)
    values: list[tuple[r.Vector, int]] = field(default_factory=list)


class Reference:
    """A model that reads one token after the other.

    Attributes:
        position: how many tokens it has read.
    """

    def __init__(self, parameters: Parameters, hear: r.Hear = r.unheard) -> None:
        self.parameters = parameters
        self.config = parameters.config
        self._hear = hear
        self.position = 0
        self._cache = [[HeadCache() for _ in range(self.config.num_key_value_heads)] for _ in parameters.layers]

    def logits(self, token: int) -> r.Vector:
        """Read a token; the (V,) logits after it, with 16 fraction bits."""
        p = self.parameters
        embedding = p.embedding
        shift = embedding.exponent - a.RESIDUAL_FRACTION
        row, multiplier = embedding.weight[token], int(embedding.multiplier[token])
        x = [r.round_shift(int(weight) * multiplier, shift) for weight in row]
        x = self._heard(0, x)
        for index, layer in enumerate(p.layers):
            y = self._normed(2 * index, x, layer.attention_norm)
            x = self._heard(2 * index + 1, r.add(x, self._attention(index, y)))
            y = self._normed(2 * index + 1, x, layer.mlp_norm)
            x = self._heard(2 * index + 2, r.add(x, self._mlp(index, y)))
        told = self._told("final", 0)
        normed = r.norm(x, self.config.epsilon, p.final_norm.tolist(), told)
        logits = r.saturate(r.linear(p.head, normed, a.NORMED_FRACTION, a.LOGIT_FRACTION, told), a.LOGIT_MAX)
        self._hear("logits", (self.position,), logits)
        self.position += 1
        return logits

    def _told(self, unit: str, index: int) -> r.Tell:
        return r.telling(self._hear, unit, index, self.position)

    def _heard(self, stage: int, x: r.Vector) -> r.Vector:
        self._hear("residual", (stage, self.position), x)
        return x

    def _normed(self, stage: int, x: r.Vector, gain: Integers) -> r.Vector:
        return r.norm(x, self.config.epsilon, gain.tolist(), self._told("norm", stage))

    def _attention(self, index: int, y: r.Vector) -> r.Vector:
        c, layer, told = self.config, self.parameters.layers[index], self._told("heads", index)
        normed, joined = self._told("norm", 2 * index), self._told("joined", index)
        qkv = r.saturate(r.linear(layer.qkv, y, a.NORMED_FRACTION, a.HEAD_FRACTION, normed), a.HEAD_MAX)
        told("raw", qkv)
        heads = [qkv[start : start + c.head_dim] for start in range(0, len(qkv), c.head_dim)]
        turning = c.num_attention_heads + c.num_key_value_heads
        turned = [self._rotate(head) for head in self._head_normed(index, heads[:turning])]
        told("turned", r.joined_up(turned))
        queries = r.tell_shortened(told, "query", c.query_bits, turned[: c.num_attention_heads])
        keys = r.tell_shortened(told, "key", c.key_bits, turned[c.num_attention_heads :])
        values = r.tell_shortened(told, "value", a.VALUE_BITS, heads[turning:])
        for cache, key, value in zip(self._cache[index], keys, values, strict=True):
            cache.keys.append(key)
            cache.values.append(value)
        group, first = c.num_attention_heads // c.num_key_value_heads, 0
        if c.window:
            first = max(0, self.position + 1 - c.window)
        mixed: r.Vector = []
        for number, query in enumerate(queries):
            mixing = r.telling(self._hear, "mix", index, self.position, number)
            past = self._cache[index][number // group]
            mixed += r.mix(query, past.keys, past.values, self.parameters.exp2, mixing, first)
        joined("out", mixed)
        return r.linear(layer.attention_out, mixed, a.MIXED_FRACTION, a.RESIDUAL_FRACTION, joined)

    def _head_normed(self, index: int, heads: list[r.Vector]) -> list[r.Vector]:
        """Queries, then keys, each with its norm if the model has them."""
        c, layer = self.config, self.parameters.layers[index]
        if layer.query_norm is None or layer.key_norm is None:
            return heads
        gains = [layer.query_norm] * c.num_attention_heads + [layer.key_norm] * c.num_key_value_heads
        return [
            r.head_norm(
                head, c.head_epsilon, gain.tolist(), r.telling(self._hear, "head_norm", index, self.position, n)
            )
            for n, (head, gain) in enumerate(zip(heads, gains, strict=True))
        ]

    def _rotate(self, head: r.Vector) -> r.Vector:
        cos, sin = self.parameters.cos[self.position].tolist(), self.parameters.sin[self.position].tolist()
        half = len(head) // 2
        first, second = head[:half], head[half:]
        turned = [x * c - y * s for x, y, c, s in zip(first, second, cos, sin, strict=True)]
        turned += [y * c + x * s for x, y, c, s in zip(first, second, cos, sin, strict=True)]
        return [r.round_shift(value, a.ROTARY_FRACTION) for value in turned]

    def _mlp(self, index: int, y: r.Vector) -> r.Vector:
        layer, told = self.parameters.layers[index], self._told("gate", index)
        normed = self._told("norm", 2 * index + 1)
        gate_up = r.saturate(r.linear(layer.gate_up, y, a.NORMED_FRACTION, a.HEAD_FRACTION, normed), a.HEAD_MAX)
        told("raw", gate_up)
        inner = self.config.intermediate_size
        gated = []
        for gate, up in zip(gate_up[:inner], gate_up[inner:], strict=True):
            sigmoid = r.looked_up(gate, self.parameters.sigmoid, a.SIGMOID_STEP_BITS)
            silu = r.round_shift(gate * sigmoid, a.HEAD_FRACTION + a.SIGMOID_FRACTION - 24)
            gated.append(r.fits(silu * up))
        told("out", gated)
        return r.linear(layer.down, gated, a.GATED_FRACTION, a.RESIDUAL_FRACTION, told)
