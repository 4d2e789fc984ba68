"""SPEC.md's Llama by the fused kernels: what `llama/reference.py` computes, for many texts at once on a GPU.

A layer starts nine kernels: norm and shortening, heads, attention, shortening, matrix out, norm and shortening, gates,
shortening, matrix down. Pasts, steps of fixed shapes and graphs are those of `eager/llama.py`; attention here ends at
a text's own positions, whatever the span of the step.

Shapes: T rows (new positions of all texts), C width; B slots; L layers; H, K, D, F, V as in SPEC.md.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.eager.base import ExactLinear
from node_agent.execution.exact.eager.llama import EagerLlama
from node_agent.execution.exact.eager.slots import Slots, TextCache
from node_agent.execution.exact.fused import kernels
from node_agent.execution.exact.fused.products import BLOCK, OUTPUTS, Tiles, on, power_of_two
from node_agent.execution.exact.port import Reading

QUERIES, POSITIONS = 8, 64
"""Queries of one key/value head that a program answers together, where a group is no larger, and keys at once."""

LEAST_WIDTH = 32
"""Tensor cores multiply at least so many int8 in a row."""


class FusedLlama(EagerLlama):
    """See `EagerLlama`. What goes from the layers to the head are (T, C) residuals, not normed states.

    Its products must be `TritonProducts`, whose weights lie as the kernels read them.
    """

    def read(self, batch: Sequence[Reading[TextCache]]) -> NDArray[np.int32]:
        """See `port.LlamaModel`. Raises ValueError where a kernel would reach beyond a past or a table."""
        for each in batch:
            end, room = each.cache.used + len(each.tokens), min(each.cache.positions, self.config.positions)
            if end > room:
                raise ValueError(f"a text of {end} positions exceeds its cache or model, which have room for {room}")
            if not all(0 <= token < self.config.vocab_size for token in each.tokens):
                raise ValueError(f"the model has the tokens 0 to {self.config.vocab_size - 1}, and not {each.tokens}")
        return super().read(batch)

    def new_slots(self, count: int, positions: int) -> Slots:
        """See `EagerLlama`: integers of 16 bits."""
        return Slots(self.config, count, positions, torch.int16, self.device)

    def forward(self, batch: Sequence[tuple[Sequence[int], TextCache]]) -> Tensor:
        """See `EagerLlama`; (T, C) residuals after the last layer."""
        tokens = torch.tensor([token for new, _ in batch for token in new], device=self.device)  # (T,)
        past, blocks, together, row = [], [], self._rows_together(), 0
        for new, cache in batch:
            where = _where(cache.keys, cache.values, cache.key_powers, cache.value_powers)
            past += [[place, *where] for place in range(cache.used, cache.used + len(new))]
            blocks += [[row + at, min(together, len(new) - at)] for at in range(0, len(new), together)]
            row += len(new)
        x = self._computed(tokens, torch.tensor(past, device=self.device), torch.tensor(blocks, device=self.device))
        for new, cache in batch:
            cache.used += len(new)
        return x

    def decode(self, tokens: Tensor, places: Tensor, slots: Slots, span: int) -> Tensor:
        """See `EagerLlama`; (B, C) residuals after the last layer."""
        parts = (slots.keys, slots.values, slots.key_powers, slots.value_powers)
        first = _where(*(part[:, 0] for part in parts))
        index = torch.arange(slots.count, device=self.device)
        columns = [places]
        for part, address in zip(parts, first[:4], strict=True):
            columns.append(index * (part.stride(1) * part.element_size()) + address)
        columns += [torch.full_like(places, stride) for stride in first[4:]]
        blocks = torch.stack((index, torch.ones_like(index)), 1)
        return self._computed(tokens, torch.stack(columns, 1), blocks)

    def logits(self, normed: Tensor) -> Tensor:
        """See `EagerLlama`, from (T, C) residuals."""
        rows, vocabulary = normed.shape[0], self.config.vocab_size
        logits = torch.empty(rows, vocabulary, dtype=torch.int32, device=self.device)
        if rows:
            with on(self.device):
                shift = a.NORMED_FRACTION - a.LOGIT_FRACTION
                short = self._shortened(normed, self._final_norm)
                self._multiply(kernels.head, short, self._head[0], shift, logits)
        return logits

    def _computed(self, tokens: Tensor, past: Tensor, blocks: Tensor) -> Tensor:
        """(T,) tokens through all layers: (T, C) residuals. `past` and `blocks`: see `kernels.py`."""
        c, rows = self.config, tokens.shape[0]
        x = torch.empty(rows, c.hidden_size, dtype=torch.int64, device=self.device)
        wide = power_of_two(c.hidden_size)
        with on(self.device):
            kernels.embed[(rows,)](
                tokens, self._embedding, self._embedding_multiplier, self._embedding_shift, x, c.hidden_size, wide
            )
            for index, layer in enumerate(self.layers):
                mixed = self._attended(index, layer, self._shortened(x, layer.attention_norm), past, blocks)
                self._multiply(
                    kernels.add, self._shortened(mixed), layer.attention_out, a.MIXED_FRACTION - a.RESIDUAL_FRACTION, x
                )
                gated = self._gated(layer, self._shortened(x, layer.mlp_norm))
                self._multiply(
                    kernels.add, self._shortened(gated), layer.down, a.GATED_FRACTION - a.RESIDUAL_FRACTION, x
                )
        return x

    def _shortened(self, x: Tensor, gain: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(T, n) rows, normed first if there is a gain, as (2, T, n) int8 halves, and (T,) exponents."""
        rows, width = x.shape
        planes = torch.empty(2, rows, width, dtype=torch.int8, device=self.device)
        exponents = torch.empty(rows, dtype=torch.int64, device=self.device)
        wide, norm = power_of_two(width), gain is not None
        kernels.shorten_rows[(rows,)](
            x, gain if norm else x, self.config.epsilon, planes, exponents, rows, width, norm, wide,
            num_warps=min(max(wide // 512, 1), 16),
        )  # fmt: skip
        return planes, exponents

    def _multiply(self, kernel: Any, short: tuple[Tensor, Tensor], linear: ExactLinear, shift: int, to: Tensor) -> None:
        rows, inputs, outputs = to.shape[0], short[0].shape[2], to.shape[1]
        tiles = Tiles(rows)
        kernel[tiles.grid(outputs, OUTPUTS)](
            *short, *_matrix(linear, shift), to, rows, inputs, outputs, tiles.size, OUTPUTS, BLOCK
        )

    def _attended(self, index: int, layer: Any, short: tuple[Tensor, Tensor], past: Tensor, blocks: Tensor) -> Tensor:
        """Heads and attention of one layer: (T, H D) with 20 fraction bits."""
        c, rows, tiles = self.config, past.shape[0], Tiles(past.shape[0])
        count, kv_count, width = c.num_attention_heads, c.num_key_value_heads, c.head_dim
        query = torch.empty(rows, count, width, dtype=torch.int16, device=self.device)
        powers = torch.empty(rows, count, dtype=torch.int64, device=self.device)
        matrix, some = _matrix(layer.qkv, a.NORMED_FRACTION - a.HEAD_FRACTION), self._final_norm  # `some`: not read
        bias, (weight, multiplier, shift) = layer.qkv.bias, matrix
        half = power_of_two(width // 2, LEAST_WIDTH // 2)
        kernels.heads[(count + 2 * kv_count, tiles.grid(1, 1)[1])](
            *short, weight, multiplier, some if bias is None else bias, shift,
            some if layer.query_norm is None else layer.query_norm, some if layer.key_norm is None else layer.key_norm,
            c.head_epsilon, self._cos, self._sin, past, query, powers, index, rows, c.hidden_size, count, kv_count,
            width, c.query_bits, c.key_bits, bias is not None, c.head_epsilon > 0, tiles.size, half, BLOCK,
        )  # fmt: skip
        mixed = torch.empty(rows, count * width, dtype=torch.int64, device=self.device)
        group = count // kv_count
        kernels.attend[(kv_count, blocks.shape[0])](
            query, powers, past, blocks, self._exp2, mixed, index, count, width, c.window or c.positions,
            group, max(QUERIES, power_of_two(group)), power_of_two(width, LEAST_WIDTH), POSITIONS,
        )  # fmt: skip
        return mixed

    def _gated(self, layer: Any, short: tuple[Tensor, Tensor]) -> Tensor:
        """Gates times ups of one layer: (T, F) with 40 fraction bits."""
        inner, rows = self.config.intermediate_size, short[1].shape[0]
        gated, tiles = torch.empty(rows, inner, dtype=torch.int64, device=self.device), Tiles(rows)
        kernels.gates[tiles.grid(inner, OUTPUTS // 2)](
            *short, *_matrix(layer.gate_up, a.NORMED_FRACTION - a.HEAD_FRACTION), self._sigmoid, gated, rows,
            self.config.hidden_size, inner, tiles.size, OUTPUTS // 2, BLOCK,
        )  # fmt: skip
        return gated

    def _rows_together(self) -> int:
        """Rows of one text whose queries of one key/value head a program of `attend` answers."""
        return max(1, QUERIES * self.config.num_key_value_heads // self.config.num_attention_heads)

    def _in_pieces(self, matrix: Matrix) -> list[ExactLinear]:
        return [self._linear(matrix)]


def _where(keys: Tensor, values: Tensor, key_powers: Tensor, value_powers: Tensor) -> list[int]:
    """The line of one text's past (`kernels.py`), without the place: parts are (L, K, positions, ...)."""
    addresses = [part.data_ptr() for part in (keys, values, key_powers, value_powers)]
    return [*addresses, key_powers.stride(0), key_powers.stride(1)]


def _matrix(linear: ExactLinear, shift: int) -> tuple[Tensor, Tensor, int]:
    """What `linear` of the kernels takes of a matrix; `shift` is F_in - F_out."""
    return linear.weight.pieces[0], linear.multiplier, linear.exponent + shift
