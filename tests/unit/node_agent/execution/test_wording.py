"""What the kinds record of a model's tokenizer is what its tokenizer says."""

import pytest

from node_agent.execution import kinds
from tests.world.prompts import MINILM, SMOLLM2, tokenizer_of
from tests.world.wording import bert, chat_ml


@pytest.mark.model
def test_recorded_ids_are_the_tokenizers() -> None:
    """Protects requesters: the template and the stops of shipped workloads are the model's own."""
    sources = kinds.sources()
    for name, found in ((SMOLLM2, chat_ml(tokenizer_of(SMOLLM2))), (MINILM, bert(tokenizer_of(MINILM)))):
        assert sources[name].wording == sources[f"{name}-exact"].wording == found
