"""SPEC_ENCODER.md in plain Python integers: slow, one text at a time, to be read beside it. Bounds: `reference.py`."""

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact import reference as r
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.encoder.model_file import EncoderParameters, Norm


class EncoderReference:
    """A model that reads one text after the other."""

    def __init__(self, parameters: EncoderParameters, hear: r.Hear = r.unheard) -> None:
        self.parameters = parameters
        self.config = parameters.config
        self._hear = hear

    def states(self, tokens: list[int]) -> list[list[r.Vector]]:
        """The (T, C) states after the embeddings and after each layer, with 20 fraction bits."""
        p = self.parameters
        x = self._next(0, [self._embedded(token, place) for place, token in enumerate(tokens)], p.embedding_norm)
        states = [x]
        for index in range(len(p.layers)):
            x = self._block(index, x)
            states.append(x)
        return states

    def vector(self, last: list[r.Vector]) -> r.Vector:
        """The text's unit vector, with 20 fraction bits, from the (T, C) last states."""
        pooled = [r.fits(sum(column)) for column in zip(*last, strict=True)]
        return r.unit(pooled, 0, a.VECTOR_FRACTION, r.telling(self._hear, "pool", 0))

    def _embedded(self, token: int, place: int) -> r.Vector:
        embedding = self.parameters.embedding
        row, multiplier = embedding.weight[token].tolist(), int(embedding.multiplier[token])
        words = [r.round_shift(weight * multiplier, embedding.exponent - a.RESIDUAL_FRACTION) for weight in row]
        return [word + other for word, other in zip(words, self.parameters.position[place].tolist(), strict=True)]

    def _next(self, stage: int, raw: list[r.Vector], by: Norm) -> list[r.Vector]:
        """The rows of the next stage's states, from those before their norm."""
        out = []
        for place, x in enumerate(raw):
            told = r.telling(self._hear, "norm", stage, place)
            told("raw", x)
            out.append(self._layer_norm(x, by, told))
            self._hear("residual", (stage, place), out[-1])
        return out

    def _block(self, index: int, x: list[r.Vector]) -> list[r.Vector]:
        layer = self.parameters.layers[index]
        mixed = []
        for place, one in enumerate(self._attention(index, x)):
            told = self._told("joined", index, place)
            mixed.append(r.linear(layer.attention_out, one, a.MIXED_FRACTION, a.RESIDUAL_FRACTION, told))
        between = self._next(2 * index + 1, [*map(r.add, x, mixed)], layer.attention_norm)
        inner = [self._feed_forward(index, place, row) for place, row in enumerate(between)]
        return self._next(2 * index + 2, [*map(r.add, between, inner)], layer.out_norm)

    def _told(self, unit: str, index: int, place: int) -> r.Tell:
        return r.telling(self._hear, unit, index, place)

    def _linear_head(self, matrix: Matrix, stage: int, place: int, row: r.Vector) -> r.Vector:
        told = self._told("entry", stage, place)
        return r.saturate(r.linear(matrix, row, a.RESIDUAL_FRACTION, a.HEAD_FRACTION, told), a.HEAD_MAX)

    def _attention(self, index: int, x: list[r.Vector]) -> list[r.Vector]:
        """The mixtures of all heads side by side, for each row."""
        c, layer = self.config, self.parameters.layers[index]
        width, d = c.hidden_size, c.head_dim
        short: list[list[list[r.Shortened]]] = []  # of each row its queries, keys and values, head by head
        for place, row in enumerate(x):
            qkv, told = self._linear_head(layer.qkv, 2 * index, place, row), self._told("heads", index, place)
            told("raw", qkv)
            heads = [qkv[start : start + d] for start in range(0, 3 * width, d)]
            parts = ("query", c.query_bits), ("key", c.key_bits), ("value", a.VALUE_BITS)
            own = [heads[start : start + len(heads) // 3] for start in range(0, len(heads), len(heads) // 3)]
            short.append([r.tell_shortened(told, *part, one) for part, one in zip(parts, own, strict=True)])
        return [self._mixed(index, place, short) for place in range(len(x))]

    def _mixed(self, index: int, place: int, short: list[list[list[r.Shortened]]]) -> r.Vector:
        """The mixtures of all heads of one row."""
        mixed: r.Vector = []
        for head, query in enumerate(short[place][0]):
            keys, values = ([row[part][head] for row in short] for part in (1, 2))
            mixed += r.mix(query, keys, values, self.parameters.exp2, r.telling(self._hear, "mix", index, place, head))
        self._hear("joined.out", (index, place), mixed)
        return mixed

    def _feed_forward(self, index: int, place: int, x: r.Vector) -> r.Vector:
        layer, told = self.parameters.layers[index], self._told("gate", index, place)
        up = self._linear_head(layer.up, 2 * index + 1, place, x)
        gelu = [value * r.looked_up(value, self.parameters.normal, a.NORMAL_STEP_BITS) for value in up]
        told("raw", up)
        told("out", gelu)
        return r.linear(layer.down, gelu, a.GATED_FRACTION, a.RESIDUAL_FRACTION, told)

    def _layer_norm(self, x: r.Vector, by: Norm, tell: r.Tell = r.untold) -> r.Vector:
        total = sum(x)
        centred = [r.fits(len(x) * value - total) for value in x]
        normed = r.norm(centred, self.config.epsilon, by.gain.tolist(), tell)
        shift = a.NORMED_FRACTION - a.RESIDUAL_FRACTION
        shifted = [r.round_shift(value, shift) + bias for value, bias in zip(normed, by.bias.tolist(), strict=True)]
        return r.saturate(shifted, a.STATE_MAX)
