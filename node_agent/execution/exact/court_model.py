"""A model file's numbers by the court's names, and the root over them (COURT.md, "The model root")."""

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
    """The model's root, and any of its numbers with its path. `court_root.model_root` is the root alone, fast."""

    @lru_cache(maxsize=8)
    def sheet(name: str, place: Place) -> Rows:
        rows: list[list[int]] = sheet_of(model, name, place).tolist()
        return rows

    return ModelShelf(court_config(model), sheet)


def sheet_of(model: Model, name: str, place: Place) -> Integers:
    """The (rows, width) numbers of a sheet of one of the court's arrays."""
    owner, _, part = name.partition(".")
    found = getattr(model, owner, None)
    if found is None:
        found = getattr(model.layers[place[0]], owner)
    if isinstance(found, Matrix):
        return found.weight if part == "weight" else _scales(found)
    return np.atleast_2d(getattr(found, part, found) if part else found)


def _scales(matrix: Matrix) -> Integers:
    """(O, 3): multiplier, bias and exponent of each row."""
    bias = np.zeros_like(matrix.multiplier) if matrix.bias is None else matrix.bias
    return np.stack([matrix.multiplier, bias, np.full_like(matrix.multiplier, matrix.exponent)], axis=1)
