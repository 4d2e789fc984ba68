"""What the local networks offer: answers that people can use, and that can be shown in a contest whatever they say."""

import pytest

from contracts.protocol.manifest import MAX_NEW_TOKENS, MAX_OUTPUT_BYTES
from contracts.protocol.packed import pack
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
    assert manifest.most_units([1], 512) <= offered.max_units
    assert manifest.most_units([1] * manifest.input.max_texts, 128) <= offered.max_units


def test_the_longest_answers_can_be_shown_in_a_contest(offered: Offered) -> None:
    """Four bytes a token: the output stays within what an answer to a contest carries."""
    assert len(pack([[2**32 - 1] * offered.max_units])) <= MAX_OUTPUT_BYTES
