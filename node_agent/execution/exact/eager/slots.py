"""The pasts of texts on a device: integers and their powers of two. Shapes as in `llama.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from node_agent.execution.exact.llama.model_file import ExactConfig


@dataclass(eq=False)
class TextCache:
    """The past of one text: integers and their powers of two, of all layers, filled from the front.

    Attributes:
        keys, values: (L, K, positions, D).
        key_powers, value_powers: (L, K, positions) 2^ek and 2^ev.
        used: how many positions it holds.
    """

    keys: Tensor
    values: Tensor
    key_powers: Tensor
    value_powers: Tensor
    used: int = 0

    @property
    def positions(self) -> int:
        """How many it has room for."""
        return self.keys.shape[2]

    def recall(self, tokens: Sequence[int]) -> None:
        """See `port.Cache`: nothing is shared here."""

    def move(self, to: "TextCache") -> None:
        """Move what it holds to the memory of another cache that has room for it."""
        for name in ("keys", "values", "key_powers", "value_powers"):
            target = getattr(to, name)
            target[:, :, : self.used] = getattr(self, name)[:, :, : self.used]
            setattr(self, name, target)


class Slots:
    """Room for the pasts of several texts in one block of memory.

    Behind the positions that its text has used, a slot holds numbers within the bounds of SPEC.md that weigh nothing.
    """

    def __init__(
        self, config: ExactConfig, count: int, positions: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.num_hidden_layers, count, config.num_key_value_heads, positions)
        self.count, self.positions = count, positions
        self.keys = torch.zeros(*shape, config.head_dim, dtype=dtype, device=device)  # (L, B, K, positions, D)
        self.values = torch.zeros(*shape, config.head_dim, dtype=dtype, device=device)  # (L, B, K, positions, D)
        self.key_powers = torch.ones(shape, dtype=torch.int64, device=device)  # (L, B, K, positions) 2^ek
        self.value_powers = torch.ones(shape, dtype=torch.int64, device=device)  # (L, B, K, positions) 2^ev

    def cache(self, slot: int) -> TextCache:
        """A slot's memory as an empty cache."""
        return TextCache(self.keys[:, slot], self.values[:, slot], self.key_powers[:, slot], self.value_powers[:, slot])
