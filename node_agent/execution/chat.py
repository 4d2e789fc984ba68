"""How a published model chats: its template and the ids that end an answer, kept beside the model as chat.json.

A Hugging Face folder says it in tokenizer_config.json or chat_template.jinja, and in generation_config.json and
config.json; a GGUF file in its fields `tokenizer.*`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from contracts.protocol.errors import first_fault
from contracts.protocol.records import Uint32
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.model_files import CONFIG

TEMPLATE, TOKENIZER_CONFIG, GENERATION_CONFIG = "chat_template.jinja", "tokenizer_config.json", "generation_config.json"
CHAT_FILES = (TEMPLATE, TOKENIZER_CONFIG, GENERATION_CONFIG)
"""Files of a Hugging Face folder that say how its model chats; each may be missing."""

_GGUF_TOKENS = ("bos_token", "eos_token", "eot_token", "eom_token")
"""Of a GGUF file: the ends of a text, of a turn and of a message end an answer."""


class Chat(BaseModel):
    """How a model chats.

    Attributes:
        template: Jinja, as `transformers` renders it.
        tokens: the spelling of each control token that it may name, e.g. bos_token.
        ends: ids that end an answer, by its publisher's word.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: str
    tokens: dict[str, str]
    ends: tuple[Uint32, ...]


class ChatSettings(BaseModel):
    """What whoever offers a model decides about its chat.

    Attributes:
        system: the system message; the template's own, where it has one, if not given.
        day: today, for a template that asks; it stays the same.
        values: for other names that the template reads, e.g. enable_thinking.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    system: str | None = None
    day: date | None = None
    values: dict[str, bool | int | str] = {}


class _Named(BaseModel):
    name: str
    template: str


class _TokenizerConfig(BaseModel):
    model_config = ConfigDict(extra="allow")

    chat_template: str | list[_Named] | None = None


class _Ends(BaseModel):
    eos_token_id: Uint32 | list[Uint32] | None = None


M = TypeVar("M", bound=BaseModel)


def published_chat(files: Mapping[str, bytes]) -> Chat | None:
    """From files of a Hugging Face folder by their names; None where they name no template. Raises UnsupportedModel."""
    said = _read(_TokenizerConfig, files, TOKENIZER_CONFIG)
    template = files[TEMPLATE].decode() if TEMPLATE in files else _default(said.chat_template)
    if template is None:
        return None
    tokens = {name: text for name, value in (said.model_extra or {}).items() for text in _token(name, value)}
    ends = (each for name in (GENERATION_CONFIG, CONFIG) for each in _ids(_read(_Ends, files, name).eos_token_id))
    return Chat(template=template, tokens=tokens, ends=tuple(sorted(set(ends))))


def gguf_chat(fields: Mapping[str, Any]) -> Chat | None:
    """From the `gguf_tokenizer.tokenizer_fields` of a file; None where it has no template."""
    if "chat_template" not in fields:
        return None
    ids = {name: fields[f"ggml.{name}_id"] for name in _GGUF_TOKENS if f"ggml.{name}_id" in fields}
    tokens = {name: fields["ggml.tokens"][number] for name, number in ids.items()}
    ends = {number for name, number in ids.items() if name != "bos_token"}
    return Chat(template=fields["chat_template"], tokens=tokens, ends=tuple(sorted(ends)))


def read_values(given: Sequence[str]) -> dict[str, bool | int | str]:
    """Values of `ChatSettings` from NAME=VALUE; true, false and integers are no texts. Raises UnsupportedModel."""
    values: dict[str, bool | int | str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name.isidentifier() or not equals:
            raise UnsupportedModel(f"{each!r} is not NAME=VALUE.", way_out="For instance --set enable_thinking=false.")
        known = {"true": True, "false": False}
        values[name] = int(value) if value.isdecimal() else known.get(value, value)
    return values


def _default(template: str | list[_Named] | None) -> str | None:
    if isinstance(template, list):
        return next((each.template for each in template if each.name == "default"), None)
    return template


def _token(name: str, value: object) -> Iterator[str]:
    """The spelling of a token: of tokenizer_config.json, where it is a text or an object with more about it."""
    text = value.get("content") if isinstance(value, dict) else value
    if name.endswith("_token") and isinstance(text, str):
        yield text


def _ids(said: int | list[int] | None) -> list[int]:
    if said is None:
        return []
    return said if isinstance(said, list) else [said]


def _read(kind: type[M], files: Mapping[str, bytes], name: str) -> M:
    try:
        return kind.model_validate_json(files.get(name, b"{}"))
    except ValidationError as error:
        raise UnsupportedModel(
            f"{name} does not say how the model chats: {first_fault(error)}.",
            way_out="Use the model's own.",
            name=name,
        ) from error
