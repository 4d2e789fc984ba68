"""What is asked: English paragraphs out of `pydoc_data.topics`, which every CPython carries, the same on any host."""

import hashlib
from pydoc_data.topics import topics

from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.chat import chat_template
from node_agent.execution.native.generation import Task
from node_agent.execution.native.sampling import Sampling

TEMPERATURES_MILLI = (0, 700, 1000)
"""Text i has the i-th, in turn: a third is greedy."""

_LEAST, _MOST = 120, 280  # characters


def paragraphs(count: int) -> list[str]:
    """So many paragraphs of prose of middling length, in an order that mixes the topics (by their sha256)."""
    found = set()
    for topic in topics.values():
        for part in (" ".join(part.split()) for part in topic.split("\n\n")[1:]):
            prose = part[:1].isupper() and "::" not in part and "|" not in part
            if _LEAST <= len(part) <= _MOST and prose:
                found.add(part)
    if len(found) < count:
        raise ValueError(f"there are {len(found)} paragraphs, {count} are asked for")
    return sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())[:count]


def tasks(
    tokenizer: TextTokenizer, eos: int, count: int, limit: int, salt: str = "", ask: str = "Explain:"
) -> list[Task]:
    """One task a paragraph. `salt`: another one draws other tokens; `ask`: what stands before each paragraph."""
    before, after, stops = chat_template(tokenizer)
    found = []
    for index, text in enumerate(paragraphs(count)):
        seed = hashlib.sha256(f"assay/bench/native/{index}{salt}".encode()).digest()
        sampling = Sampling(TEMPERATURES_MILLI[index % len(TEMPERATURES_MILLI)], seed)
        prompt = [*before, *tokenizer.encode(f"{ask} {text}"), *after]
        found.append(Task(prompt, limit, frozenset(stops | {eos}), sampling))
    return found
