"""The model root of a whole file (COURT.md, "The model root") by the kernels: what a node derives before it serves.

The same root as `court_model.model_shelf(model).root`, which shows single numbers and takes minutes for all of them.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from contracts.court.arrays import layout
from contracts.court.layout import Array, Home, Text
from contracts.court.trees import leaf
from node_agent.execution.exact.court_model import Model, court_config, sheet_of
from node_agent.execution.exact.kernels import Kernels

Digests = NDArray[np.uint8]


def model_root(model: Model, kernels: Kernels) -> bytes:
    """The 32 bytes that a workload of this model must name."""
    config = court_config(model)
    arrays = layout(Text(config, 1, 1)).at_home(Home.MODEL)
    first = np.frombuffer(leaf(config.packed()), np.uint8)
    return bytes(kernels.list_root(np.stack([first, *(_array(model, array, kernels) for array in arrays)])))


def _array(model: Model, array: Array, kernels: Kernels) -> Digests:
    """The root of an array: of its sheets, of their rows."""
    places = product(*map(range, array.axes))
    return kernels.list_root(np.stack([_sheet(sheet_of(model, array.name, at), array, kernels) for at in places]))


def _sheet(values: NDArray[np.generic], array: Array, kernels: Kernels) -> Digests:
    written = np.ascontiguousarray(values.astype(f">i{array.kind.width}")).view(np.uint8)
    return kernels.list_root(kernels.row_roots(written, array.block * array.kind.width))
