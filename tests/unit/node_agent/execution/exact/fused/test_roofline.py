"""What the fused kernels move and multiply is counted whole, and near what the model's shapes need."""

from dataclasses import replace

import pytest
import torch

from bench.gpu import models, roofline
from node_agent.execution.exact.llama.model_file import ExactConfig
from tests.world.soak import short_or_long

SMALL = replace(
    models.SMOLLM2, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=3,
    num_key_value_heads=1, vocab_size=roofline.PIECE, positions=128,
)  # fmt: skip
on_a_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="counts under Triton's interpreter, which is off here")


@on_a_cpu
@pytest.mark.parametrize("texts", short_or_long((1,), roofline.TEXTS))
def test_a_step_stays_near_the_roofline(texts: int) -> None:
    """At SmolLM2's widths, at most 1.3 times the bytes and the time that the shapes need. Short runs count one layer
    and a piece of the output matrix."""
    config = short_or_long(replace(models.SMOLLM2, num_hidden_layers=1, vocab_size=roofline.PIECE), models.SMOLLM2)
    count = short_or_long(roofline._step, roofline.counted)
    least, found = roofline.needed(config, texts), count(config, texts, roofline.CONTEXT)
    for name, figure in roofline.compared(found, least).items():
        assert figure.value is not None
        assert figure.must is None or figure.value <= figure.must, name


@on_a_cpu
def test_three_small_models_tell_of_a_larger_one() -> None:
    """What is counted of a whole model is what is computed from models with fewer layers and words. Memory differs by
    the entries of tables that scores and gates happen to choose."""
    config = replace(SMALL, num_hidden_layers=3, vocab_size=3 * roofline.PIECE)
    told, whole = roofline.counted(config, 2, 20), roofline._step(config, 2, 20)
    assert (told.loaded_bytes, told.multiply_adds, told.starts) == (
        whole.loaded_bytes, whole.multiply_adds, whole.starts
    )  # fmt: skip
    assert told.memory_bytes == pytest.approx(whole.memory_bytes, rel=0.03)
    assert whole.starts == 9 * config.num_hidden_layers + 3


@on_a_cpu
@pytest.mark.parametrize(("texts", "context"), [(1, 5), (3, 70)])
def test_all_that_is_needed_is_counted(texts: int, context: int) -> None:
    """No kernel gets by with less than the least, so the count misses no load and no product."""
    least, found = roofline.needed(SMALL, texts, context), roofline.counted(SMALL, texts, context)
    assert found.memory_bytes >= least.memory_bytes
    assert found.loaded_bytes >= found.memory_bytes
    assert found.multiply_adds >= least.multiply_adds


def test_what_a_plain_llama_needs() -> None:
    """SmolLM2 at one text: its 134.5 million weights once, and little beside."""
    config: ExactConfig = models.SMOLLM2
    least = roofline.needed(config, 1)
    assert 134.5e6 < least.memory_bytes < 1.05 * 134.5e6
    assert least.multiply_adds > 2 * 134.5e6
