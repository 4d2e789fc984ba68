"""The engine of the kind `float_generation`: chat completion by a Llama in fp32, for hosts of one numeric class.

Prompt, output and units are those of `kinds/generation.py`; answers are greedy.

Trace: the logits of every position computed, in order: the prompt's positions, then one per decode step. The last token
chosen is never fed back, so that is prompt + units - 1 positions a text.

Checked by regeneration: in floats, prefill and decode differ in the last bits.
"""

from collections.abc import Mapping
from typing import Self

import torch

from contracts.protocol.manifest import MAX_NEW_TOKENS, Manifest
from node_agent.execution.floats.decoding import read
from node_agent.execution.floats.engine import FloatEngine
from node_agent.execution.floats.llama import Llama, load_llama
from node_agent.execution.limits import require_described, require_positions
from node_agent.execution.model_files import ModelFiles
from node_agent.execution.trace import Trace


class FloatGeneration(FloatEngine):
    """See `engine.FloatEngine`.

    Attributes:
        model: the loaded Llama; `model.layers` is its list of blocks.
    """

    version = "3"

    def __init__(self, model: Llama, manifest: Manifest) -> None:
        """Assemble from parts; `load` is the way in that verifies them."""
        super().__init__(manifest)
        self.model, self.vocab_size = model, model.config.vocab_size
        self._stops = frozenset(manifest.stops)
        require_described(manifest, (MAX_NEW_TOKENS,), meter="new_tokens")
        require_positions(manifest, model.config.max_position_embeddings)

    @classmethod
    def build(cls, files: ModelFiles, manifest: Manifest, device: torch.device) -> Self:
        """See `engine.FloatEngine`."""
        return cls(load_llama(files.weights, files.config, device), manifest)

    def answer(self, prompt: list[int], params: Mapping[str, int], trace: Trace) -> list[int]:
        """See `engine.FloatEngine`."""
        limit = params[MAX_NEW_TOKENS]
        cache = self.model.new_cache(len(prompt) + limit - 1)
        chosen = [read(self.model, prompt, cache, trace)]
        while chosen[-1] not in self._stops and len(chosen) < limit:
            chosen.append(read(self.model, chosen[-1:], cache, trace))
        return chosen
