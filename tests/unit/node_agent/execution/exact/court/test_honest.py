"""The court's arithmetic is the reference's, block by block: no honest trace is ever convicted.

Models of many shapes and spreads, some so large that everything saturates: every element of every block of their traces
is recomputed. The short form looks at each kind of operation; `make soak` at 100,000 blocks.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from random import Random

import numpy as np
import pytest

from contracts.court.layout import Place
from contracts.model.court.checker import Step
from contracts.model.court.operations.base import Operation, Spot
from node_agent.execution.exact.container import Matrix
from node_agent.execution.exact.llama.model_file import LayerParameters, Parameters
from node_agent.execution.exact.sampling import ExactSampling
from tests.unit.node_agent.execution.exact.conftest import FAMILIES, MakeEncoder, MakeModel, with_biases
from tests.unit.node_agent.execution.exact.court.cases import Case, decoder_case, encoder_case
from tests.world.soak import short_or_long

BLOCKS = short_or_long(450, 100_000)
OF_A_KIND = short_or_long(2, 60)
"""Blocks of one kind of operation in one text."""
MOST_OTHERS = 16
"""Values that a claimed largest one is compared with, drawn anew for each element."""


@pytest.mark.timeout(short_or_long(300, 7_200))
def test_no_honest_block_convicts(make_model: MakeModel, make_encoder: MakeEncoder) -> None:
    """Every element of each block, and for a largest value the first, the last and some of what it is compared with."""
    random, blocks = Random(15), 0
    for case in _cases(random, make_model, make_encoder):
        court = case.court()
        for operation in court.operations.values():
            found = [*_blocks(case, operation)]
            for block in random.sample(found, min(OF_A_KIND, len(found))):
                for spot in _spots(case, block, random):
                    step = Step(operation.name, spot)
                    assert not court.ruling(step).convicted, step
                blocks += 1
        if blocks >= BLOCKS:
            break
    assert blocks >= BLOCKS


Block = tuple[Operation, Place, int, int]
"""An operation, and the place, row and first column of a block of its array."""


def _blocks(case: Case, operation: Operation) -> Iterator[Block]:
    array = case.layout.arrays[operation.array]
    for place in product(*map(range, array.axes)):
        rows, width = array.shape(place)
        yield from ((operation, place, row, start) for row in range(rows) for start in range(0, width, array.block))


def _spots(case: Case, block: Block, random: Random) -> Iterator[Spot]:
    operation, place, row, start = block
    array = case.layout.arrays[operation.array]
    for column in range(start, min(start + array.block, array.shape(place)[1])):
        spot = Spot(place, row, column)
        yield from (replace(spot, other=other) for other in _some(random, operation.others(case.layout, spot)))


def _some(random: Random, count: int) -> list[int]:
    return [0] if count == 1 else sorted({0, count - 1, *(random.randrange(count) for _ in range(MOST_OTHERS))})


def _cases(random: Random, make_model: MakeModel, make_encoder: MakeEncoder) -> Iterator[Case]:
    """Texts of models whose shapes, spreads and ways of choosing are drawn, a decoder and an encoder in turn."""
    while True:
        size, seed = 10 ** random.uniform(-2, 1), random.randrange(2**32)
        heads, d = random.choice([(1, 2), (2, 6), (4, 4)]), 2
        common = {
            "vocab_size": random.choice([9, 61, 130]),
            "hidden_size": random.choice([12, 24, 72]),
            "intermediate_size": random.choice([10, 70]),
            "max_position_embeddings": 80,
        }
        sampling = random.choice([ExactSampling(), _drawn(random)])
        model = make_model(
            seed,
            size,
            **common,
            num_hidden_layers=random.choice([1, 2]),
            num_attention_heads=heads[0] * d,
            num_key_value_heads=d,
            head_dim=heads[1],
            tie_word_embeddings=random.random() < 0.5,
            **FAMILIES[random.choice([*FAMILIES])],
        )
        model = random.choice([model, with_biases(model)])
        tokens = [random.randrange(9) for _ in range(random.choice([1, 3, 70]))]
        model = random.choice([model, loud(model)])
        yield decoder_case(model, [tokens], random.choice([1, 3]), sampling)
        encoder = make_encoder(seed, size, **common, num_hidden_layers=random.choice([1, 2]))
        yield encoder_case(encoder, [[random.randrange(9) for _ in range(random.choice([1, 4, 70]))]])


def loud(model: Parameters) -> Parameters:
    """The same model, as loud as its file may be: every scale and gain the largest, so that nearly all saturates."""

    def matrix(one: Matrix) -> Matrix:
        return replace(one, multiplier=np.full_like(one.multiplier, 2**24 - 1), exponent=24)

    def layer(one: LayerParameters) -> LayerParameters:
        names = ["attention_norm", "mlp_norm", *(() if one.query_norm is None else ("query_norm", "key_norm"))]
        gains = {name: np.full_like(getattr(one, name), 2**30 - 1) for name in names}
        matrices = {name: matrix(getattr(one, name)) for name in ("qkv", "attention_out", "gate_up", "down")}
        return replace(one, **gains, **matrices)

    return replace(model, layers=tuple(map(layer, model.layers)), head=matrix(model.head), embedding=matrix(model.head))


def _drawn(random: Random) -> ExactSampling:
    """From nearly greedy to nearly uniform, and any top-p."""
    temperature = random.choice([1, 50, 700, 1000, 2000, 10**6])
    return ExactSampling(temperature, random.choice([1, 500_000, 999_999, 10**6]), random.randbytes(32))
