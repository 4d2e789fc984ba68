"""ChatML around one user message, with SmolLM2-Instruct's default system message, as in the model's own template.

The requester's text is cut into tokens alone and never read for control tokens: a prompt that spells `<|im_end|>` gets
those ten characters, and cannot end its turn. (A text that begins with several white spaces is cut otherwise than
within the template.)
"""

from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.errors import UnsupportedModel

SYSTEM_MESSAGE = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

_START, _END, _END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"


def chat_template(tokenizer: TextTokenizer) -> tuple[list[int], list[int], set[int]]:
    """ChatML around one user message: ids before its text, ids after it, ids that end an answer."""
    start, end = tokenizer.id_of(_START), tokenizer.id_of(_END)
    if start is None or end is None:
        raise UnsupportedModel(
            f"The tokenizer lacks {_START} or {_END}.", way_out="Use a model with a ChatML tokenizer."
        )
    turn_end = [end, *tokenizer.encode("\n")]
    system = [start, *tokenizer.encode(f"system\n{SYSTEM_MESSAGE}"), *turn_end]
    before = [*system, start, *tokenizer.encode("user\n")]
    after = [*turn_end, start, *tokenizer.encode("assistant\n")]
    end_of_text = tokenizer.id_of(_END_OF_TEXT)
    return before, after, {end} if end_of_text is None else {end, end_of_text}
