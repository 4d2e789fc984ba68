"""The page reads token ids as everybody else does: what they spell, and whether they are those of a text."""

import hashlib
import json
import random
import shutil
import subprocess
from pathlib import Path

from backend.api.pages import WEB
from contracts.protocol.spelling import Spelling
from node_agent.execution.gguf_tokenizer import tokenizer_json
from tests.world import chats
from tests.world.prompts import read

LETTERS = "abc XYZ'sé\u0301\ufeff漢\U0001f642<>|0123\n"
TEXTS = ("\ufeffa", "e\u0301 and \u00e9", "<tool_call> is a word", "<|im_end|> is none", "")


def test_the_page_spells_as_the_protocol_does(tmp_path: Path) -> None:
    """Protects requesters in a browser: no other ids pass for their texts than for anybody's, whatever a backend sends
    (control tokens, unknown ids, halves of characters), and the answer is read alike."""
    said = chats.fields("qwen2")
    said |= {"ggml.tokens": [*said["ggml.tokens"], "<tool_call>"], "ggml.token_type": [*said["ggml.token_type"], 4]}
    data = json.dumps(tokenizer_json(said)).encode()
    (tmp_path / "tokenizer.json").write_bytes(data)
    spelling, tokenizer, drawn = Spelling(data, digest := _sha256(data), "byte_bpe"), read(data), random.Random(3)
    texts = [*TEXTS, *("".join(drawn.choices(LETTERS, k=drawn.randrange(9))) for _ in range(500))]
    cases = [(tokenizer.encode(text), other) for text, other in zip(texts, [*texts[1:], ""], strict=True)]
    cases += [(tokenizer.encode(text), text) for text in texts]
    cases += [([len(said["ggml.tokens"])], "?")]
    cases += [(drawn.choices(range(len(said["ggml.tokens"]) + 2), k=drawn.randrange(9)), "a") for _ in range(500)]
    expected = [[spelling.spells(ids, text), spelling.spell(ids)] for ids, text in cases]
    assert {spells for spells, _ in expected} == {True, False}
    told = {"tokenizer": str(tmp_path / "tokenizer.json"), "sha256": digest, "cases": cases}
    assert _by_the_page(tmp_path, told) == expected


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _by_the_page(folder: Path, told: dict[str, object]) -> object:
    shutil.copytree(Path(str(WEB)) / "shared", folder / "shared")
    shutil.copy(Path(__file__).with_name("vocabulary.js"), folder)
    (folder / "package.json").write_text('{"type": "module"}')
    done = subprocess.run(
        ["node", "vocabulary.js"], input=json.dumps(told), cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
