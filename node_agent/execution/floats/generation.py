"""The engine of the kind `float_generation`: chat completion by a Llama in fp32, for hosts of one numeric class.

Prompt, output and units are those of `kinds/generation.py`; answers are greedy.

The trace has the logits of every computed position, in order: the prompt's, then one per decode step. The last token is
never read, so these are prompt + units - 1 positions a text. Checks regenerate: in floats, prefill and decode differ in
the last bits.
"""

from collections.abc import Mapping

from contracts.protocol.manifest import MAX_NEW_TOKENS
from node_agent.execution.floats.decoding import read
from node_agent.execution.floats.engine import FloatEngine
from node_agent.execution.floats.llama import Llama, load_llama
from node_agent.execution.trace import Trace


class FloatGeneration(FloatEngine):
    """See `engine.FloatEngine`."""

    version = "3"
    meter = "new_tokens"
    params = (MAX_NEW_TOKENS,)
    read = staticmethod(load_llama)
    model: Llama

    def answer(self, prompt: list[int], params: Mapping[str, int], trace: Trace) -> list[int]:
        """See `engine.FloatEngine`."""
        limit, stops = params[MAX_NEW_TOKENS], self.manifest.stops
        cache = self.model.new_cache(len(prompt) + limit - 1)
        chosen = [read(self.model, prompt, cache, trace)]
        while chosen[-1] not in stops and len(chosen) < limit:
            chosen.append(read(self.model, chosen[-1:], cache, trace))
        return chosen
