"""What the court wants to see of the choice of one token: weights, the cut of top-p, and three sums in order of ids."""

from collections.abc import Callable, Sequence

import numpy as np

from contracts.court.numbers import BLOCK
from contracts.model.court.shelves import Rows
from node_agent.execution.exact.container import Integers
from node_agent.execution.exact.sampling import WHOLE_PPM, ExactSampling, weigh


class Choice:
    """One position's logits, and the token that was chosen from them. Where it was greedy, all weights are 0.

    Args:
        logits: (V,) with 16 fraction bits.
        exp2: the model's table.
        sampling: how the token was chosen.
        token: the token.
    """

    def __init__(self, logits: Sequence[int], exp2: Integers, sampling: ExactSampling, token: int) -> None:
        self._logits, self._token = np.array(logits, np.int64), token
        self._weights = np.zeros(len(logits), np.int64)
        self._cut = 0
        if sampling.temperature_milli:
            self._weights = weigh(self._logits.astype(np.int32), exp2.astype(np.int64), sampling.temperature_milli)
            self._cut = self._last_kept(sampling)

    def rows(self, name: str) -> Rows:
        """The rows of an array of the unit `choice`."""
        part, _, level = name.removeprefix("choice.").partition(".")
        if level:
            return [self._sums(part, int(level))]
        found: dict[str, Callable[[], list[int]]] = {
            "largest": lambda: [int(self._logits.max())],
            "largest_at": lambda: [int(self._logits.argmax())],
            "weight": self._weights.tolist,
            "cut": lambda: [self._cut],
        }
        return [found[part]()]

    def _last_kept(self, sampling: ExactSampling) -> int:
        order = np.argsort(-self._weights, kind="stable")
        running = np.cumsum(self._weights[order])
        wanted = -(-sampling.top_p_ppm * int(running[-1]) // WHOLE_PPM)
        return int(order[np.searchsorted(running, wanted, side="left")])

    def _sums(self, part: str, level: int) -> list[int]:
        token = {"before_cut": self._cut, "before_token": self._token}.get(part)
        values = self._weights.tolist() if token is None else self._before(token)
        for _ in range(level + 1):
            values = [sum(values[start : start + BLOCK]) for start in range(0, len(values), BLOCK)]
        return values

    def _before(self, token: int) -> list[int]:
        bar, ids = self._weights[token], np.arange(len(self._weights))
        earlier = (self._weights > bar) | ((self._weights == bar) & (ids < token))
        return [*np.where(earlier, self._weights, 0).tolist()]
