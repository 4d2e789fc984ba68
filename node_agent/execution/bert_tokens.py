"""What a BERT reads around a text: [CLS], the text's tokens, [SEP]."""

from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.errors import UnsupportedModel

START, END = "[CLS]", "[SEP]"


def start_and_end(tokenizer: TextTokenizer) -> tuple[int, int]:
    """The ids before and after a text's own. Raises UnsupportedModel for a tokenizer that has none."""
    start, end = tokenizer.id_of(START), tokenizer.id_of(END)
    if start is None or end is None:
        raise UnsupportedModel(f"The tokenizer lacks {START} or {END}.", way_out="Use a BERT tokenizer.")
    return start, end
