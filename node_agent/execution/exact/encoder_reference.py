"""SPEC_ENCODER.md in plain Python integers: slow, one text at a time, meant to be read beside it.

As in `reference.py`, Python's integers do not overflow and `fits` fails where the specification would leave 63 bits.
"""

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.encoder_file import EncoderLayer, EncoderParameters, Norm
from node_agent.execution.exact.reference import (
    Vector,
    add,
    fits,
    linear,
    looked_up,
    mix,
    norm,
    round_shift,
    saturate,
    shorten,
    unit,
)


class EncoderReference:
    """A model that reads one text after the other."""

    def __init__(self, parameters: EncoderParameters) -> None:
        self.parameters = parameters
        self.config = parameters.config

    def states(self, tokens: list[int]) -> list[list[Vector]]:
        """The (T, C) states after the embeddings and after each layer, with 20 fraction bits."""
        p = self.parameters
        x = [self._layer_norm(self._embedded(token, place), p.embedding_norm) for place, token in enumerate(tokens)]
        states = [x]
        for layer in p.layers:
            x = self._block(layer, x)
            states.append(x)
        return states

    def vector(self, last: list[Vector]) -> Vector:
        """The text's unit vector, with 20 fraction bits, from the (T, C) last states."""
        return unit([fits(sum(column)) for column in zip(*last, strict=True)], 0, a.VECTOR_FRACTION)

    def _embedded(self, token: int, place: int) -> Vector:
        embedding = self.parameters.embedding
        row, multiplier = embedding.weight[token].tolist(), int(embedding.multiplier[token])
        words = [round_shift(weight * multiplier, embedding.exponent - a.RESIDUAL_FRACTION) for weight in row]
        return [word + other for word, other in zip(words, self.parameters.position[place].tolist(), strict=True)]

    def _block(self, layer: EncoderLayer, x: list[Vector]) -> list[Vector]:
        out = []
        for row, mixed in zip(x, self._attention(layer, x), strict=True):
            update = linear(layer.attention_out, mixed, a.MIXED_FRACTION, a.RESIDUAL_FRACTION)
            between = self._layer_norm(add(row, update), layer.attention_norm)
            out.append(self._layer_norm(add(between, self._feed_forward(layer, between)), layer.out_norm))
        return out

    def _attention(self, layer: EncoderLayer, x: list[Vector]) -> list[Vector]:
        """The mixtures of all heads side by side, for each row."""
        c = self.config
        width, d = c.hidden_size, c.head_dim
        qkv = [saturate(linear(layer.qkv, row, a.RESIDUAL_FRACTION, a.HEAD_FRACTION), a.HEAD_MAX) for row in x]
        mixed: list[Vector] = [[] for _ in x]
        for head in range(0, width, d):
            keys = [shorten(row[width + head : width + head + d], c.key_bits) for row in qkv]
            values = [shorten(row[2 * width + head : 2 * width + head + d], a.VALUE_BITS) for row in qkv]
            for row, out in zip(qkv, mixed, strict=True):
                out += mix(shorten(row[head : head + d], c.query_bits), keys, values, self.parameters.exp2)
        return mixed

    def _feed_forward(self, layer: EncoderLayer, x: Vector) -> Vector:
        up = saturate(linear(layer.up, x, a.RESIDUAL_FRACTION, a.HEAD_FRACTION), a.HEAD_MAX)
        gelu = [value * looked_up(value, self.parameters.normal, a.NORMAL_STEP_BITS) for value in up]
        return linear(layer.down, gelu, a.GATED_FRACTION, a.RESIDUAL_FRACTION)

    def _layer_norm(self, x: Vector, by: Norm) -> Vector:
        total = sum(x)
        centred = [fits(len(x) * value - total) for value in x]
        normed = norm(centred, self.config.epsilon, by.gain.tolist())
        shift = a.NORMED_FRACTION - a.RESIDUAL_FRACTION
        shifted = [round_shift(value, shift) + bias for value, bias in zip(normed, by.bias.tolist(), strict=True)]
        return saturate(shifted, a.STATE_MAX)
