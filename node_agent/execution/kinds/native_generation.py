"""Kind `native_generation`: chat completion by a Llama in bf16, as published; any host may serve it.

Prompt, output and units are those of `generation.py`. Its answers are the same only within a numeric class; across
classes they are compared by comparator `native`, which slashes nobody: see `node_agent/execution/native/engine.py`.
Needs torch.
"""

from typing import Any

from node_agent.execution.exact.llama.engine import SEED, TEMPERATURE
from node_agent.execution.kinds import float_generation
from node_agent.execution.kinds.generation import MOST_SEED

ENGINE = "node_agent.execution.native.engine:NativeGeneration"

MODELS = float_generation.MODELS

TEMPLATE: dict[str, Any] = float_generation.TEMPLATE | {
    "dtype": "bfloat16",
    "comparator": "native",
    "params": {
        **float_generation.TEMPLATE["params"],
        TEMPERATURE: {"minimum": 0, "maximum": 2000, "default": 0},
        SEED: {"minimum": 0, "maximum": MOST_SEED, "default": 0},
    },
}
