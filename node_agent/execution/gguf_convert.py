"""From a model in GGUF to safetensors (fp32), tokenizer.json and config.json, the same bytes on every host.

`gguf_families.py` reads how it computes, `gguf_tokenizer.py` and `chat.py` its words. Assay writes the files itself, so
that a library's new version cannot change a digest. Reference: the GGUF specification (ggml/docs/gguf.md).
"""

import hashlib
import json
from pathlib import Path

from gguf import GGUFReader

from node_agent.execution.chat import gguf_chat
from node_agent.execution.gguf_families import GgufModel
from node_agent.execution.gguf_header import require_counts
from node_agent.execution.gguf_tokenizer import tokenizer_fields, tokenizer_json
from node_agent.execution.model_files import CHAT, CONFIG, CONFIG_KEY, TOKENIZER, WEIGHTS, write_safetensors


def convert(gguf: Path, folder: Path) -> None:
    """Write the files of a model into an existing folder, chat.json among them where it has a chat template.

    Args:
        gguf: a Llama, Mistral, Qwen2 or Qwen3 with a byte-level BPE tokenizer.
        folder: where to write.

    Raises:
        UnsafeModelFormat: its header counts more than it holds.
        UnsupportedModel: another architecture, tokenizer or pre-tokenizer; a field or tensor that is not read.
    """
    require_counts(gguf)
    reader = GGUFReader(gguf)
    model = GgufModel(reader)
    config = _json(model.config)
    (folder / CONFIG).write_bytes(config)
    words = tokenizer_fields(reader)
    (folder / TOKENIZER).write_bytes(_json(tokenizer_json(words)))
    if (chat := gguf_chat(words)) is not None:
        (folder / CHAT).write_text(chat.model_dump_json())
    bound = {CONFIG_KEY: hashlib.sha256(config).hexdigest()}
    write_safetensors(folder / WEIGHTS, model.shapes, model.tensor, bound)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
