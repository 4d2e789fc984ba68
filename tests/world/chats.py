"""Chat templates as models publish them, and a small byte-level BPE with merges that has their control tokens."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

CONTROLS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
VOCABULARY = 900
BOS, EOS = CONTROLS[0], CONTROLS[2]

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
QWEN3 = """{%- if tools %}
    {{- 'tools' + tools | tojson }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- if message.role == "user" and not(message.content.startswith('<tool_response>')) %}
        {%- set ns.last_query_index = (messages|length - 1) - loop.index0 %}
        {%- break %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- generation %}
        {{- '<|im_start|>' + message.role + '\\n<think>\\n\\n</think>\\n\\n' + message.content + '<|im_end|>\\n' }}
        {%- endgeneration %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
LLAMA32 = (
    "{{- bos_token }}{%- if not date_string is defined %}{%- set date_string = strftime_now('%d %b %Y') %}{%- endif %}"
    "{{- '<|start_header_id|>system<|end_header_id|>\n\nToday Date: ' + date_string + '\n\n' }}"
    "{%- if messages[0]['role'] == 'system' %}{{- messages[0]['content']|trim }}{%- set messages = messages[1:] %}"
    "{%- endif %}{{- '<|eot_id|>' }}{%- for message in messages %}{{- '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}"
)

_PAGE = """Assay pays nodes for work that checks out. A requester funds a lane in an escrow contract from a wallet and
signs orders; nodes run the inference and sign what they computed; verifiers run a random sample again that nobody could
foresee. Why is the sky blue? The sky is blue because the air scatters blue light more than red light, in 1871 as in
2026. It's what you'll see; they've said so: "Look up, and don't look into the sun!"\n\n    def f(x):\n\treturn x ** 2
1234 12 123 12345 1 123456: what's 12 x 123?\n\n1234, 123; 12.\n\nIt's 123!\n\nI'M, YOU'RE, WE'VE, it's 12?
'Shall 'Shall 'shall. Why, and Why? Why not, Why?\n\nshall\n\nshall\n\n
Être ou ne pas être, voilà la question. Größe, naïve façade, 東京タワー, Привет, мир.\r\n"""


@cache
def trained(cut: str = "gpt-2") -> bytes:
    """tokenizer.json with merges that were learned from a page; `cut` names the pre-tokenizer as GGUF does."""
    from node_agent.execution.gguf_tokenizer import tokenizer_json

    return json.dumps(tokenizer_json(fields(cut)), ensure_ascii=False).encode()


@cache
def _learned() -> Mapping[str, Any]:
    """Merges of up to four characters, over the borders of words, numbers and lines: they show where a text was cut."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=list(CONTROLS), initial_alphabet=alphabet, show_progress=False
    )
    learner.train_from_iterator((_PAGE[place : place + 4] for place in range(len(_PAGE))), trainer)
    learned: Mapping[str, Any] = json.loads(learner.to_str())["model"]
    return learned


def fields(cut: str = "gpt-2") -> dict[str, Any]:
    """The same vocabulary as a GGUF file's `tokenizer.*` fields have it."""
    tokens = sorted(_learned()["vocab"], key=_learned()["vocab"].__getitem__)
    return {
        "ggml.model": "gpt2",
        "ggml.pre": cut,
        "ggml.tokens": tokens,
        "ggml.token_type": [3 if token in CONTROLS else 1 for token in tokens],
        "ggml.merges": [" ".join(pair) for pair in _learned()["merges"]],
        "ggml.bos_token_id": CONTROLS.index(BOS),
        "ggml.eos_token_id": CONTROLS.index(EOS),
    }
