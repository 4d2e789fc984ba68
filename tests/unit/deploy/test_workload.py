"""What the local networks offer: answers that people can use, and that can be shown in a contest whatever they say."""

import json

import pytest

from contracts.protocol.canonical import canonical_json
from contracts.protocol.manifest import MAX_NEW_TOKENS, MAX_OUTPUT_BYTES
from contracts.protocol.tokens import TextTokenizer
from deploy.localnet import workload
from deploy.localnet.network import Offered
from node_agent.models import ModelStore, default_root

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def offered() -> Offered:
    return workload.generation(ModelStore(default_root()))


def test_answers_of_512_tokens_are_offered(offered: Offered) -> None:
    """Nothing below it caps them: the parameter's range, the most units of an order, and the model's positions."""
    manifest = offered.manifest
    assert manifest.most_new_tokens == 512
    assert manifest.params[MAX_NEW_TOKENS].default == 128
    assert manifest.most_units(["?"], {MAX_NEW_TOKENS: 512}) <= offered.max_units
    assert manifest.most_units(["?"] * manifest.input.max_texts, {MAX_NEW_TOKENS: 128}) <= offered.max_units


def test_the_longest_answers_can_be_shown_in_a_contest(offered: Offered) -> None:
    """Every token the one that takes most room: the output stays within what an answer to a contest carries."""
    tokenizer = TextTokenizer(offered.tokenizer.read_bytes(), offered.manifest.tokenizer_sha256)
    ids = json.loads(offered.tokenizer.read_bytes())["model"]["vocab"].values()
    per_token = max(len(canonical_json(tokenizer.decode([token]))) - 2 + len(f"{token},") for token in ids)
    texts = offered.manifest.input.max_texts
    envelope = len(canonical_json([{"finish_reason": "length", "text": "", "token_ids": []}]))
    longest = offered.max_units * per_token + texts * envelope
    assert longest <= MAX_OUTPUT_BYTES
    assert (offered.max_units + 128) * per_token > MAX_OUTPUT_BYTES, "the bound is no tighter than it must be"
