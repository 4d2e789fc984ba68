"""The token ids around a text and those that end an answer, by a model's own tokenizer and chat template.

Both are a stranger's: this runs in a confined process only.

Ids around a text are those of the whole chat, control tokens recognised. They are the same for every text if no piece
reaches over its border, which TEXTS show. White space at the ends of a text stays, where some templates strip it: a
text's ids are its own.
"""

from tokenizers import Tokenizer

from contracts.protocol.spelling import SAMPLES, Spelling
from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.chat import Chat, ChatSettings
from node_agent.execution.chat_template import ChatTemplate, refused
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.model_files import Wording

_SIGNS = [chr(code) for code in range(33, 127)]
_OTHERS = [
    "\u00e9",
    "\u00c9t\u00e9",
    "\u0436",
    "\u6f22\u5b57",
    "\U0001f642",
    "\u00b2",
    "\u00bd",
    "\u0301",
    "2026",
    "'s",
    "'re",
]
TEXTS = ("Why is the sky blue?", *_SIGNS, *_OTHERS)
"""They begin and end with every sign of ASCII and some beyond: a tokenizer may join each with what is beside it."""

ENDS = (
    "<|endoftext|>", "<|end_of_text|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "</s>",
)  # fmt: skip
"""Control tokens that end an answer wherever a model has them; of llama.cpp's (`llama-vocab.cpp`, special_eog_ids)."""

_ANSWER = "Yes."


class ChatTokenizer:
    """A model's tokenizer, for whole chats and for texts alone.

    Attributes:
        family: which one it is.
        controls: its control tokens' ids, by their spellings.
    """

    def __init__(self, tokenizer_json: bytes, sha256: str) -> None:
        """Raises WrongTokenizer, or UnsupportedModel where it is of no supported family."""
        self._texts, self._chats = TextTokenizer(tokenizer_json, sha256), Tokenizer.from_str(tokenizer_json.decode())
        self._chats.no_truncation()
        self._chats.no_padding()
        added = self._chats.get_added_tokens_decoder().items()
        self.controls = {token.content: number for number, token in added if token.special}
        for family, sample in SAMPLES.items():
            if Spelling(tokenizer_json, sha256, family).spells(self.text(sample), sample):
                self.family = family
                return
        raise UnsupportedModel(
            f"The model's tokenizer is none of {', '.join(SAMPLES)}: its ids do not give every text back.",
            way_out="Use a model with a byte-level BPE (Llama 3, Qwen, SmolLM, GPT-2), or an uncased BERT.",
        )

    def text(self, text: str) -> list[int]:
        """The ids of a text alone."""
        return self._texts.encode(text)

    def chat(self, text: str) -> list[int]:
        """The ids of a whole chat, control tokens recognised and nothing added."""
        ids: list[int] = self._chats.encode(text, add_special_tokens=False).ids
        return ids

    def framed(self, text: str) -> list[int]:
        """The ids of a text between those that the tokenizer itself puts around it."""
        ids: list[int] = self._chats.encode(text).ids
        return ids


def frame(words: ChatTokenizer) -> Wording:
    """The wording of a model that does not chat: what its tokenizer puts around a text. Raises UnsupportedModel."""
    found = _around(words.framed(TEXTS[0]), words.text(TEXTS[0]))
    if found is None:
        raise UnsupportedModel(
            f"The model's tokenizer cuts {TEXTS[0]!r} otherwise between its own control tokens.",
            way_out="Use a model with another tokenizer.",
        )
    return Wording(words.family, *found)


def _around(whole: list[int], text: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """What stands before and after a text's ids in a whole, or None."""
    for start in range(len(whole) - len(text) + 1):
        if whole[start : start + len(text)] == text:
            return tuple(whole[:start]), tuple(whole[start + len(text) :])
    return None


def chat_wording(words: ChatTokenizer, chat: Chat, settings: ChatSettings) -> Wording:
    """The wording of a model that chats, around one message of a user. Raises UnsupportedModel."""
    template, system = ChatTemplate(chat, settings), settings.system
    first = [] if system is None else [{"role": "system", "content": system}]

    def rendered(text: str) -> str:
        return template.render([*first, {"role": "user", "content": text}])

    parts = rendered(TEXTS[0]).split(TEXTS[0])
    if len(parts) != 2:
        raise refused(f"gives the text {TEXTS[0]!r} {len(parts) - 1} times, not once", _ANOTHER)
    if system is not None and system.strip() not in "".join(parts):
        raise refused("leaves the system message out", "Offer it without one.")
    around = _around(words.chat(rendered(TEXTS[0])), words.text(TEXTS[0]))
    for text in TEXTS:
        if rendered(text) != text.join(parts):
            raise refused(f"puts other words around {text!r} than around {TEXTS[0]!r}", _ANOTHER)
        if around is None or words.chat(rendered(text)) != [*around[0], *words.text(text), *around[1]]:
            raise refused(
                f"makes one token of an end of {text!r} and of what is beside it: {parts[0][-20:]!r} before, "
                f"{parts[1][:20]!r} after",
                "Use a model whose template has control tokens or line ends there.",
            )
    assert around is not None, "there are texts"
    answered = template.render(
        [*first, {"role": "user", "content": TEXTS[0]}, {"role": "assistant", "content": _ANSWER}], prompts=False
    )
    return Wording(words.family, *around, _stops(words, chat, answered))


_ANOTHER = "Use another file of the model, with a template for plain chats."


def _stops(words: ChatTokenizer, chat: Chat, answered: str) -> tuple[int, ...]:
    """What ends an answer: by the publisher's word, by convention, and what stands after one in a chat."""
    _, shown, rest = answered.rpartition(_ANSWER)
    after = words.chat(rest)[:1] if shown else []
    known = {words.controls[end] for end in ENDS if end in words.controls}
    stops = {*chat.ends, *known, *(each for each in after if each in words.controls.values())}
    if not stops:
        raise refused("ends no answer with a control token, and the model's files name none", _ANOTHER)
    return tuple(sorted(stops))
