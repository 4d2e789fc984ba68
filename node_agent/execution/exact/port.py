"""The port between the exact engines and their models: kernels on CPUs (`kernels/`), torch on GPUs (`eager/`).

Both compute what SPEC.md and SPEC_ENCODER.md say, to the bit. Numbers go in and out as numpy integers.

Shapes: n wanted positions, V vocabulary, T tokens of all texts, C width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from node_agent.execution.exact.encoder.model_file import EncoderConfig, EncoderParameters
from node_agent.execution.exact.llama.model_file import ExactConfig, Parameters


class Cache(Protocol):
    """The past of one text.

    Attributes:
        used: how many positions it holds.
    """

    used: int

    def recall(self, tokens: Sequence[int]) -> bytes | None:
        """Takes over what other texts that begin with these tokens have read, but for the last token.

        Returns:
            The name of what is read next and could be taken over by another text that is about to read the same; None
            if nothing can.
        """
        ...


C = TypeVar("C", bound=Cache)


@dataclass(frozen=True)
class Reading(Generic[C]):
    """One text's part in a step.

    Attributes:
        tokens: to read next, at least one.
        cache: the text's past, which they are appended to.
        wanted: the number of last tokens whose logits are returned.
    """

    tokens: Sequence[int]
    cache: C
    wanted: int


class LlamaModel(Protocol):
    """A Llama on this host, computed in some `Way`.

    Attributes:
        config: sizes.
        exp2: (4096,) table, which sampling uses too.
        layers: its blocks in order. Dropping one gives another model, and another trace.
    """

    config: ExactConfig
    exp2: NDArray[np.int64]
    layers: list[Any]

    def new_cache(self, positions: int) -> Any:
        """An empty `Cache` with room for so many positions. Raises MemoryError where there is no room."""
        ...

    def read(self, batch: Sequence[Reading[Any]]) -> NDArray[np.int32]:
        """Reads the next tokens of some texts, together.

        Returns:
            (n, V) logits with 16 fraction bits: a row for each wanted position, text by text, in order.
        """
        ...


class EncoderModel(Protocol):
    """An encoder on this host, computed in some `Way`.

    Attributes:
        config: sizes.
        layers: its blocks in order. Dropping one gives another model, and another trace.
    """

    config: EncoderConfig
    layers: list[Any]

    def states(self, texts: Sequence[Sequence[int]]) -> list[NDArray[np.int64]]:
        """The states of some texts.

        Args:
            texts: the tokens of each, at least one and at most as many as the model has positions.

        Returns:
            (T, C) with 20 fraction bits after the embedding and after each layer, in order: the rows of the texts one
            after the other.
        """
        ...

    def vector(self, states: NDArray[np.int64]) -> list[int]:
        """The unit vector of one text's last states, with 20 fraction bits: C integers."""
        ...


class Way(Protocol):
    """One way in which this host can compute: a set of kernels, or torch on a device.

    Attributes:
        name: for display.
    """

    @property
    def name(self) -> str: ...

    def llama(self, parameters: Parameters) -> LlamaModel:
        """A Llama computed in this way."""
        ...

    def encoder(self, parameters: EncoderParameters) -> EncoderModel:
        """An encoder computed in this way."""
        ...
