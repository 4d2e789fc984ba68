"""A model file's numbers by the court's names, and the root over them (COURT.md, "The model root")."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from contracts.court.layout import Config, Place
from contracts.court.shelves import ModelShelf, Rows
from node_agent.execution.exact.container import Integers, Matrix
from node_agent.execution.exact.encoder_file import EncoderParameters
from node_agent.execution.exact.model_file import Parameters

Model = Parameters | EncoderParameters


def court_config(model: Model) -> Config:
    """What of a model's configuration the court needs."""
    c = model.config
    encoder = isinstance(model, EncoderParameters)
    return Config(
        encoder=int(encoder),
        layers=c.num_hidden_layers,
        width=c.hidden_size,
        inner=c.intermediate_size,
        heads=c.num_attention_heads,
        kv_heads=getattr(c, "num_key_value_heads", c.num_attention_heads),
        head_dim=c.head_dim,
        vocabulary=c.vocab_size,
        positions=c.positions,
        tied=int(getattr(c, "tied", False)),
        epsilon=c.epsilon,
        query_bits=c.query_bits,
        key_bits=c.key_bits,
    )


def model_shelf(model: Model) -> ModelShelf:
    """The model's root, and any of its numbers with its path; `.root` is what a workload must name."""
    return ModelShelf(court_config(model), lru_cache(maxsize=8)(lambda name, place: _sheet(model, name, place)))


def _sheet(model: Model, name: str, place: Place) -> Rows:
    owner, _, part = name.partition(".")
    if not part:
        return _table(getattr(model, owner))
    found = getattr(model, owner, None)
    if found is None:
        found = getattr(model.layers[place[0]], owner)
    if isinstance(found, Matrix):
        return found.weight.tolist() if part == "weight" else _scales(found)
    return _table(getattr(found, part, found))


def _table(values: Integers) -> Rows:
    rows: list[list[int]] = np.atleast_2d(values).tolist()
    return rows


def _scales(matrix: Matrix) -> list[Sequence[int]]:
    """Multiplier, bias and exponent of each row."""
    multipliers = matrix.multiplier.tolist()
    biases = [0] * len(multipliers) if matrix.bias is None else matrix.bias.tolist()
    return [(one, bias, matrix.exponent) for one, bias in zip(multipliers, biases, strict=True)]
