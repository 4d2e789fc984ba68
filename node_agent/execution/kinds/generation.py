"""Kind `generation`: chat completion by the exact engine, each text one user message. Any host gives the same bytes.

Prompt: the manifest's template around the text's own ids. A text that spells `<|im_end|>` gets those ten characters'
ids, not the control token, so that it cannot end its turn. Output: for each text the ids of every token chosen, the
stop token included; units are their number, so a stop counts as one: choosing it took a pass.

Parameters: `node_agent/execution/exact/llama/engine.py`; by default the choice is greedy.
"""

from typing import Any

from node_agent.execution.exact.llama.engine import SEED, TEMPERATURE, TOP_P, ExactGeneration
from node_agent.execution.exact.sampling import WHOLE_PPM
from node_agent.execution.kinds import float_generation
from node_agent.execution.model_files import Built

MOST_SEED = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly."""

ENGINE = ExactGeneration

_SMOLLM2 = float_generation.MODELS["smollm2-135m"]

MODELS = {
    "smollm2-135m-exact": Built(
        origin=_SMOLLM2,
        weights_sha256="e6ceafe0909bd08b7ece7ce0b0efcffcf9ad4f25bc0d179350c9351408235cff",
        tokenizer_sha256=_SMOLLM2.tokenizer_sha256,
        model_root="0x5bf862ce6fb16c978f2e58f3cf2a58e6c48e62987dfdfa2615faf609a6c9d6b6",
    ),
}

TEMPLATE: dict[str, Any] = float_generation.TEMPLATE | {
    "dtype": "int8",
    "params": {
        **float_generation.TEMPLATE["params"],
        TEMPERATURE: {"minimum": 0, "maximum": 2000, "default": 0},
        TOP_P: {"minimum": 1, "maximum": WHOLE_PPM, "default": WHOLE_PPM},
        SEED: {"minimum": 0, "maximum": MOST_SEED, "default": 0},
    },
}
