"""SmolLM2-135M end to end, against transformers, jinja and a byte-pair encoder written out here."""

import hashlib
import json
import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from node_agent.execution.floats.generation import FloatGeneration
from node_agent.execution.floats.llama import Llama
from node_agent.execution.model_files import ModelFiles
from tests.world.prompts import SMOLLM2, answered, asked_of, tokenizer_of

pytestmark = pytest.mark.model

PROMPTS = ["What is the capital of France?", "Count from 1 to 9.", "Écris un haïku 🌸 about 2026."]
TEXTS = [
    "Hello, world! It's 12345 o'clock, isn't it?",
    "def f(x):\n\treturn x ** 2  # 3.14159\n\n\n",
    "naïve façade, 東京タワー, Привет, مرحبا, שלום",
    "👩‍👩‍👧‍👦🏳️‍🌈 emoji ½ ² ٣ and combining e\u0301",
    "  leading, trailing   and \u00a0 odd\u2003spaces \r\n",
    "\x00\x01 control \x7f and <|im_end|> spelled out",
]


@pytest.fixture(scope="module")
def reference(smollm_files: ModelFiles) -> LlamaForCausalLM:
    """transformers' Llama with the same weights, eager attention, fp32."""
    config = LlamaConfig(**json.loads(smollm_files.config.read_bytes()), attn_implementation="eager")
    state = load_file(smollm_files.weights)
    model = LlamaForCausalLM(config).eval()
    model.load_state_dict(state | {"lm_head.weight": state["model.embed_tokens.weight"]})
    return model


@pytest.mark.timeout(300)
def test_logits_and_greedy_tokens_agree_with_transformers(
    smollm_engine: FloatGeneration, reference: LlamaForCausalLM
) -> None:
    """The engine computes this model, not something near it."""
    for prompt in PROMPTS:
        (tokens,) = answered(asked_of(SMOLLM2, [prompt]))
        run = smollm_engine.execute(asked_of(SMOLLM2, [prompt]), {"max_new_tokens": 12})
        chosen = answered(run.output)[0]
        with torch.inference_mode():
            whole = torch.tensor([*tokens, *chosen[:-1]])
            theirs = reference(whole[None]).logits[0]
            model = smollm_engine.model
            ours = model.logits(model.forward(whole, model.new_cache(len(whole))))
        assert (theirs - ours).abs().max() < 1e-3
        assert theirs[len(tokens) - 1 :].argmax(-1).tolist() == chosen


def test_it_answers(smollm_engine: FloatGeneration) -> None:
    """Weights, rotary order, tokenizer, template and stop rule together make a model that knows things."""
    (answer,) = answered(smollm_engine.execute(asked_of(SMOLLM2, PROMPTS[:1]), {"max_new_tokens": 32}).output)
    assert tokenizer_of(SMOLLM2).decode(answer[:-1]) == "The capital of France is Paris."
    assert answer[-1] == 2


@pytest.mark.timeout(300)
def test_busy_processes_give_one_trace(smollm_engine: FloatGeneration, smollm_files: ModelFiles) -> None:
    """Node and verifier run at the same time on the same cores, and must still agree to the bit."""
    script = (
        "import sys; from node_agent.models import ModelStore; from contracts.protocol.manifest import Manifest\n"
        "from tests.world.prompts import SMOLLM2, asked_of\n"
        "from node_agent.execution.floats.generation import FloatGeneration\n"
        "files = ModelStore().load('smollm2-135m')\n"
        "engine = FloatGeneration.load(files, Manifest.model_validate_json(sys.argv[1]), 'cpu')\n"
        "sys.stdout.write(engine.execute(asked_of(SMOLLM2, [sys.argv[2]]), {'max_new_tokens': 24}).trace_hash.hex())\n"
    )
    command = [sys.executable, "-c", script, smollm_engine.manifest.canonical().decode(), PROMPTS[1]]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    here = smollm_engine.execute(asked_of(SMOLLM2, PROMPTS[1:2]), {"max_new_tokens": 24}).trace_hash.hex()
    assert {process.communicate(timeout=200)[0] for process in running} == {here}


def test_dropped_layers_give_another_trace(smollm_engine: FloatGeneration) -> None:
    """Skipping one layer of thirty shows in the trace. Covers: A08."""
    honest = smollm_engine.execute(asked_of(SMOLLM2, PROMPTS[:1]), {"max_new_tokens": 4})
    del smollm_engine.model.layers[14]
    assert smollm_engine.execute(asked_of(SMOLLM2, PROMPTS[:1]), {"max_new_tokens": 4}).trace_hash != honest.trace_hash


def test_int8_weights_give_another_trace(smollm_engine: FloatGeneration) -> None:
    """Weights rounded to int8, whose answer may well read the same, show in the trace. Covers: A08."""
    honest = smollm_engine.execute(asked_of(SMOLLM2, PROMPTS[:1]), {"max_new_tokens": 4})
    quantise(smollm_engine.model)
    assert smollm_engine.execute(asked_of(SMOLLM2, PROMPTS[:1]), {"max_new_tokens": 4}).trace_hash != honest.trace_hash


def quantise(model: Llama) -> None:
    """Round the blocks' weights to int8 per output channel, in place."""
    for layer in model.layers:
        for weight in (layer.qkv, layer.attention_out, layer.gate_up, layer.down):
            scale = weight.abs().amax(0, keepdim=True) / 127
            weight.copy_((weight / scale).round() * scale)


def test_prompt_is_the_models_own_chat_template(smollm_engine: FloatGeneration, smollm_files: ModelFiles) -> None:
    """The hand-written template is the one that the model carries, rendered by jinja.

    But for texts that begin with several white spaces: a text is cut alone, so that everybody can count its tokens.
    """
    template = (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
        "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
        "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    jinja2 = pytest.importorskip("jinja2")
    tokenizer = Tokenizer.from_file(str(smollm_files.tokenizer))
    for text in [*PROMPTS, " starts and ends with space \n", *TEXTS[:4]]:
        rendered = jinja2.Template(template, keep_trailing_newline=True).render(
            messages=[{"role": "user", "content": text}], add_generation_prompt=True
        )
        assert answered(asked_of(SMOLLM2, [text])) == [tokenizer.encode(rendered).ids]


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_round_trips(smollm_files: ModelFiles, text: str) -> None:
    """Byte-level: no text is lost, whatever its script."""
    tokenizer = Tokenizer.from_file(str(smollm_files.tokenizer))
    tokenizer.encode_special_tokens = True
    assert tokenizer.decode(tokenizer.encode(text).ids, skip_special_tokens=False) == text


@pytest.mark.parametrize("text", TEXTS)
def test_tokenizer_is_byte_pair_encoding_of_digits_and_words(smollm_files: ModelFiles, text: str) -> None:
    """tokenizer.json does what its vocabulary and merges say, by an encoder written out here."""
    model = json.loads(smollm_files.tokenizer.read_bytes())["model"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    tokenizer = Tokenizer.from_file(str(smollm_files.tokenizer))
    tokenizer.encode_special_tokens = True
    words = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)]
    assert all(len(word) == 1 for word in words if any(c in "0123456789" for c in word))
    assert tokenizer.encode(text).ids == [model["vocab"][part] for word in words for part in merge(word, ranks)]


def merge(word: str, ranks: dict[tuple[str, ...], int]) -> list[str]:
    """Byte pairs of one word, merged by rank until none is left (Sennrich et al. 2016)."""
    parts = list(word)
    while len(parts) > 1:
        rank, at = min((ranks.get((a, b), len(ranks)), i) for i, (a, b) in enumerate(pairwise(parts)))
        if rank == len(ranks):
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def test_stored_files_are_the_pinned_ones(smollm_files: ModelFiles) -> None:
    """What the store verified once is what lies there now."""
    with smollm_files.weights.open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == smollm_files.weights_sha256
