"""The numeric class of a host, as its work shows it: a digest over what fixed calibration jobs gave, bit for bit.

Nobody declares a class. Equal digests mean that the same jobs gave the same bits, through prompts of several lengths
and a batch; whatever moves a bit (silicon, driver, kernels, libraries, threads, type, attention, batching) gives
another. The digest of the fixed jobs names the class. Since a name can be copied, membership is shown on a challenge:
jobs that follow from bytes which nobody knew before, done by the host and by a member, and compared for equality; and
by every ordinary job that a member checks.
"""

import hashlib

from contracts.protocol.canonical import canonical_json
from node_agent.execution.native.generation import GenerationTask, generate
from node_agent.execution.native.model import NativeLlama
from node_agent.execution.native.sampling import random_words

CLASS_TAG = b"assay/native/class/1\n"
PROMPT_LENGTHS = (5, 33, 90)
"""In tokens: below, about and above the sizes at which products change their kernels."""

NEW_TOKENS = 12


def jobs(vocabulary: int, challenge: bytes = b"") -> list[GenerationTask]:
    """The calibration jobs: random tokens, greedy, no stop. Empty challenge: those that name the class."""
    seed = hashlib.sha256(CLASS_TAG + challenge).digest()
    found = []
    for index, length in enumerate(PROMPT_LENGTHS):
        words = random_words(CLASS_TAG, seed, index, 0, length)
        found.append(GenerationTask([int(word) % vocabulary for word in words], NEW_TOKENS))
    return found


def results(model: NativeLlama, challenge: bytes = b"") -> list[str]:
    """Hex digests of all logits of each job: first all in one batch, then the first alone."""
    wanted = jobs(model.config.vocab_size, challenge)
    runs = [*generate(model, wanted), *generate(model, wanted[:1])]
    return [run.rows_digest.hex() for run in runs]


def class_digest(model: NativeLlama) -> str:
    """The name of this host's class for this model, hex sha256. Takes some seconds."""
    return hashlib.sha256(CLASS_TAG + canonical_json(results(model))).hexdigest()
