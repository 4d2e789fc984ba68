"""What stands around a text in a model's prompt, as its own tokenizer has it.

The requester's text is cut into tokens alone and never read for control tokens: a prompt that spells `<|im_end|>` gets
those ten characters, and cannot end its turn. (A text that begins with several white spaces is cut otherwise than
within the template.)
"""

from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.model_files import Wording

SYSTEM_MESSAGE = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
"""SmolLM2-Instruct's default, in the model's own template."""

_TURN, _TURN_END, _END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
_CLS, _SEP = "[CLS]", "[SEP]"


def id_of(tokenizer: TextTokenizer, token: str) -> int | None:
    """The id of a control token by its spelling, or None."""
    found: int | None = tokenizer._tokenizer.token_to_id(token)  # type: ignore[attr-defined]
    return found


def chat_ml(tokenizer: TextTokenizer, system_message: str = SYSTEM_MESSAGE) -> Wording:
    """ChatML around one user message. Raises UnsupportedModel for a tokenizer without its control tokens."""
    start, end = _control(tokenizer, _TURN), _control(tokenizer, _TURN_END)
    turn_end = [end, *tokenizer.encode("\n")]
    system = [start, *tokenizer.encode(f"system\n{system_message}"), *turn_end]
    before = (*system, start, *tokenizer.encode("user\n"))
    after = (*turn_end, start, *tokenizer.encode("assistant\n"))
    end_of_text = id_of(tokenizer, _END_OF_TEXT)
    stops = {end} if end_of_text is None else {end, end_of_text}
    return Wording("byte_bpe", before, after, tuple(sorted(stops)))


def bert(tokenizer: TextTokenizer) -> Wording:
    """[CLS], the text, [SEP]. Raises UnsupportedModel for a tokenizer without these."""
    return Wording("wordpiece", (_control(tokenizer, _CLS),), (_control(tokenizer, _SEP),))


def _control(tokenizer: TextTokenizer, token: str) -> int:
    found = id_of(tokenizer, token)
    if found is None:
        raise UnsupportedModel(
            f"The tokenizer lacks {token}.", way_out="Name the template's ids in the manifest by hand.", token=token
        )
    return found
