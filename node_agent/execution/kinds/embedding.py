"""Kind `embedding`: one vector a text by the exact engine's encoder. Any host gives the same bytes.

Prompt: [CLS], the text's tokens, [SEP]. A text with more tokens than the workload takes is refused, not cut off.

Vector: the mean of the last states over all tokens, [CLS] and [SEP] included, divided by its length (L2 norm), as
sentence-transformers does for all-MiniLM-L6-v2 (arXiv:1908.10084). Dot products of vectors are cosines.

Output: for each text the vector times SCALE (2^20) as integers. Arithmetic and trace: `exact/SPEC_ENCODER.md`.
Units: the tokens of all texts together, [CLS] and [SEP] included.
"""

from typing import Any

from node_agent.execution.exact.encoder.engine import ExactEmbedding
from node_agent.execution.kinds import float_embedding
from node_agent.execution.model_files import Built

SCALE = float_embedding.SCALE

ENGINE = ExactEmbedding

_MINILM = float_embedding.MODELS["minilm-l6-v2"]

MODELS = {
    "minilm-l6-v2-exact": Built(
        origin=_MINILM,
        weights_sha256="0d2cb65982bc0b79931999329ee86d29967bebf7dee2df898ba25f02d113bbfd",
        tokenizer_sha256=_MINILM.tokenizer_sha256,
        model_root="0x558b4ea606f983124f980a11661b40c2534c0ad2b2bf300e90b301d6a985743f",
    ),
}

TEMPLATE: dict[str, Any] = float_embedding.TEMPLATE | {"dtype": "int8"}
