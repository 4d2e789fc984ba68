"""The numeric class of a host: a digest over the logits of fixed calibration jobs, bit for bit.

Nobody declares a class. Two hosts with equal digests got the same bits for prompts of several lengths and a batch;
whatever changes a bit (silicon, driver, kernels, libraries, threads, type, attention, batching) changes the digest. A
name can be copied, so a host proves membership on a challenge: it and a member run jobs that follow from fresh random
bytes, and their digests must be equal. Every ordinary job that a member checks proves it again.
"""

import hashlib

from contracts.protocol.canonical import canonical_json
from node_agent.execution.native.generation import GenerationTask, generate
from node_agent.execution.native.model import NativeLlama
from node_agent.execution.native.sampling import random_words

CLASS_TAG = b"assay/native/class/1\n"
PROMPT_LENGTHS = (5, 33, 90)
"""Tokens: below, near and above the sizes at which matrix products switch kernels."""

NEW_TOKENS = 12


def jobs(vocabulary: int, challenge: bytes = b"") -> list[GenerationTask]:
    """The calibration jobs: random tokens, greedy, no stop. An empty challenge gives the jobs that name the class."""
    seed = hashlib.sha256(CLASS_TAG + challenge).digest()
    found = []
    for index, length in enumerate(PROMPT_LENGTHS):
        words = random_words(CLASS_TAG, seed, index, 0, length)
        found.append(GenerationTask([int(word) % vocabulary for word in words], NEW_TOKENS))
    return found


def results(model: NativeLlama, challenge: bytes = b"") -> list[str]:
    """Hex digests of all logits of each job: all in one batch, then the first job alone."""
    wanted = jobs(model.config.vocab_size, challenge)
    runs = [*generate(model, wanted), *generate(model, wanted[:1])]
    return [run.rows_digest.hex() for run in runs]


def class_digest(model: NativeLlama) -> str:
    """The name of this host's class for this model, hex sha256. Takes some seconds."""
    return hashlib.sha256(CLASS_TAG + canonical_json(results(model))).hexdigest()
