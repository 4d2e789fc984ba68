"""What is asked: texts of three kinds out of `pydoc_data.topics`, which every CPython carries, the same on any host.

Prose is what people ask about. Code and grammar are what a model is good at copying: chances near one. Noise, words of
the prose in an order without sense, is what a requester would send who wants hosts to differ: chances near each other.
"""

import hashlib
from pydoc_data.topics import topics

from contracts.protocol.tokens import TextTokenizer
from node_agent.execution.kinds.float_generation import MODELS
from node_agent.execution.native.generation import GenerationTask
from node_agent.execution.native.sampling import NativeSampling

TEMPERATURES_MILLI = (0, 700, 1000)
"""Text i has the i-th, in turn: a third is greedy."""

KINDS = ("prose", "code", "prose", "noise")
"""Text i is of the i-th, in turn."""

_LEAST, _MOST = 120, 280  # characters
_NOISE_WORDS = 35


def kind_of(index: int) -> str:
    """The kind of a text."""
    return KINDS[index % len(KINDS)]


def paragraphs(count: int) -> list[str]:
    """So many texts of middling length, in an order that mixes the topics. Raises ValueError where there are fewer."""
    prose, code = _parts()
    words = sorted({word for text in prose for word in text.split()})
    sources = {"prose": iter(prose), "code": iter(code)}
    found = []
    for index in range(count):
        kind = kind_of(index)
        text = _noise(words, index) if kind == "noise" else next(sources[kind], None)
        if text is None:
            raise ValueError(f"there is no more {kind} after {index} texts, {count} are asked for")
        found.append(text)
    return found


def _parts() -> tuple[list[str], list[str]]:
    """Prose, and code or grammar, each by its sha256."""
    prose, code = set(), set()
    for topic in topics.values():
        for part in (" ".join(part.split()) for part in topic.split("\n\n")[1:]):
            if _LEAST <= len(part) <= _MOST:
                reads_well = part[:1].isupper() and "::" not in part and "|" not in part
                (prose if reads_well else code).add(part)
    return _mixed(prose), _mixed(code)


def _mixed(texts: set[str]) -> list[str]:
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())


def _noise(words: list[str], index: int) -> str:
    drawn = [hashlib.sha256(f"assay/bench/native/noise/{index}/{place}".encode()) for place in range(_NOISE_WORDS)]
    return " ".join(words[int.from_bytes(each.digest()[:8], "big") % len(words)] for each in drawn)


def tasks(
    tokenizer: TextTokenizer, eos: int, count: int, limit: int, salt: str = "", ask: str = "Explain:"
) -> list[GenerationTask]:
    """One task a text. `salt`: another one draws other tokens; `ask`: what stands before each text."""
    around = MODELS["smollm2-135m"].wording
    before, after, stops = around.before, around.after, set(around.stops)
    found = []
    for index, text in enumerate(paragraphs(count)):
        seed = hashlib.sha256(f"assay/bench/native/{index}{salt}".encode()).digest()
        sampling = NativeSampling(TEMPERATURES_MILLI[index % len(TEMPERATURES_MILLI)], seed)
        prompt = [*before, *tokenizer.encode(f"{ask} {text}"), *after]
        found.append(GenerationTask(prompt, limit, frozenset(stops | {eos}), sampling))
    return found
