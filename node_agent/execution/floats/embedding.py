"""The engine of the kind `float_embedding`: vectors by a BERT encoder in fp32, for hosts of one numeric class.

Prompt, vector, output and units are those of `kinds/embedding.py`; here the vector's numbers, times SCALE, are rounded
to the nearest integer, halves to even. Dividing by SCALE gives the vector within 5e-7.

Trace: the hidden states after the embeddings and after each layer, in order.

Checked by regeneration: whether floats added in another order give the same bits is known within a class only.
"""

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from contracts.protocol.manifest import Manifest
from node_agent.execution.errors import NumericFailure
from node_agent.execution.floats.bert import Bert
from node_agent.execution.floats.engine import FloatEngine
from node_agent.execution.kinds.float_embedding import SCALE
from node_agent.execution.limits import require_described, require_positions
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.trace import Trace


class FloatEmbedding(FloatEngine):
    """See `engine.FloatEngine`.

    Attributes:
        model: the loaded encoder; `model.layers` is its list of blocks.
    """

    version = "2"

    def __init__(self, model: Bert, manifest: Manifest) -> None:
        """Assemble from parts; `load` is the way in that verifies them."""
        super().__init__(manifest)
        self.model, self.vocab_size = model, model.config.vocab_size
        require_described(manifest, (), meter="input_tokens")
        require_positions(manifest, model.config.max_position_embeddings)

    @classmethod
    def build(cls, files: ModelFiles, manifest: Manifest, device: torch.device) -> Self:
        """See `engine.FloatEngine`."""
        return cls(Bert.load(files.weights, files.config, device), manifest)

    def answer(self, prompt: list[int], params: Mapping[str, int], trace: Trace) -> list[int]:
        """See `engine.FloatEngine`."""
        return to_integers(self.vector(prompt, trace).cpu().numpy())

    def vector(self, prompt: list[int], trace: Trace) -> Tensor:
        """The (C,) unit vector of one text's tokens; the trace hears every hidden state."""
        ids = torch.tensor(prompt, device=self.model.device)  # (T,)
        states = self.model.forward(ids)
        for state in states:
            trace.update(state.cpu().numpy())
        return F.normalize(states[-1].mean(0), dim=0)


def to_integers(vector: NDArray[np.float32]) -> list[int]:
    """The numbers of a (C,) vector times SCALE, rounded to even. Raises NumericFailure for NaN or infinity."""
    if not np.isfinite(vector).all():
        raise NumericFailure(
            "The vector holds NaN or infinity: the model broke down.",
            way_out="Run the self-test; if it passes, the weights do not fit fp32.",
            numbers=int((~np.isfinite(vector)).sum()),
        )
    # a power of two: the product is exact, in fp32 too
    return [int(number) for number in np.rint(vector * np.float32(SCALE))]
