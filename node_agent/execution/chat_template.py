"""Renders a chat template (Jinja) of a stranger: code, so in a confined process only, and in jinja2's sandbox.

With the names that `transformers` gives its templates (`transformers/utils/chat_template_utils.py`), and without what
gives another text at another time: the clock is a day that is given, and nothing is drawn by chance.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import TemplateError, meta, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from node_agent.execution.chat import Chat, ChatSettings
from node_agent.execution.errors import UnsupportedModel

MOST_CHARACTERS = 1 << 20
"""Of a rendered chat: more tokens than any workload takes."""

_CLOCK, _DATE = "strftime_now", "date_string"

Messages = Sequence[Mapping[str, str]]


class ChatTemplate:
    """A model's chat template.

    Args:
        chat: how the model chats.
        settings: what it is given besides messages. Without a day it must not ask for one.
    """

    def __init__(self, chat: Chat, settings: ChatSettings) -> None:
        """Raises UnsupportedModel for no Jinja, and for a day or a value that the template has no use for."""
        self._chat, self._day, self._values = chat, settings.day, settings.values
        environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        environment.globals[_CLOCK] = self._strftime_now
        try:
            names = meta.find_undeclared_variables(environment.parse(chat.template))
            self._template = environment.from_string(chat.template)
        except Exception as error:  # Python's compiler refuses more than jinja2's
            raise refused(f"is no Jinja: {error}", "Use another file of the model.") from error
        if self._day is not None and not {_CLOCK, _DATE} & names:
            raise refused(f"does not say which day it is, and {self._day} was given for it", "Leave the day out.")
        if unread := sorted(set(self._values) - names):
            raise refused(f"reads nothing called {', '.join(unread)}", f"It reads {', '.join(sorted(names))}.")

    def render(self, messages: Messages, *, prompts: bool = True) -> str:
        """A chat as text. `prompts`: up to where the model's answer begins. Raises UnsupportedModel."""
        said = {"messages": messages, "add_generation_prompt": prompts, "tools": None, "documents": None}
        day = {} if self._day is None else {_DATE: self._day.strftime("%d %b %Y")}
        try:
            return _joined(self._template.generate({**self._chat.tokens, **day, **self._values, **said}))
        except UnsupportedModel:
            raise
        except Exception as error:  # of a stranger's code
            roles = ", ".join(message["role"] for message in messages)
            raise refused(
                f"does not take a chat of {roles}: {type(error).__name__}: {error}",
                "Leave the system message out, if it does not take one; else use another file of the model.",
            ) from error

    def _strftime_now(self, layout: str) -> str:
        if self._day is None:
            raise refused(
                f"asks which day it is ({_CLOCK}), and a workload's prompt is the same every day",
                "Give it a day that stays: --date 2026-01-31.",
            )
        return self._day.strftime(layout)


def refused(why: str, way_out: str) -> UnsupportedModel:
    """The error for a template that no workload can be made of."""
    return UnsupportedModel(f"The model's chat template {why}.", way_out=way_out)


def _joined(pieces: Iterable[str]) -> str:
    text = ""
    for piece in pieces:
        text += piece
        if len(text) > MOST_CHARACTERS:
            raise refused(f"gives more than {MOST_CHARACTERS} characters", "Use another file of the model.")
    return text


class _Environment(ImmutableSandboxedEnvironment):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.filters["tojson"] = _tojson
        self.globals["raise_exception"] = _raise_exception
        del self.globals["lipsum"], self.filters["random"]


class _Generation(Extension):
    """{% generation %} .. {% endgeneration %}: marks an answer for who trains on it, and is what it holds."""

    tags = {"generation"}  # noqa: RUF012  # as its base has it

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(parser.parse_statements(("name:endgeneration",), drop_needle=True)).set_lineno(line)


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)
