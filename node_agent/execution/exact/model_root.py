"""The root over a model file's numbers (COURT.md, "The model root"). Nodes and verifiers derive it before they serve:
under a foreign root an honest node could be convicted, by weights that it never had.
"""

from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open

from contracts.court.arrays import layout
from contracts.court.layout import Array, CourtConfig, Home, Place, Text
from contracts.protocol.hashing import to_hex
from contracts.protocol.manifest import Manifest
from node_agent.execution.errors import ModelDigestMismatch
from node_agent.execution.exact import kernels as k
from node_agent.execution.exact.container import Integers, Matrix
from node_agent.execution.exact.encoder.model_file import EncoderConfig, EncoderParameters, read_encoder
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.model_files import require_safetensors

Model = Parameters | EncoderParameters
Digests = NDArray[np.uint8]


def court_config(model: Model) -> CourtConfig:
    """The part of a model's configuration that the court needs."""
    c = model.config
    encoder = isinstance(model, EncoderParameters)
    return CourtConfig(
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
        window=getattr(c, "window", 0),
        head_epsilon=getattr(c, "head_epsilon", 0),
    )


def require_root(model: Model, manifest: Manifest) -> None:
    """Raises ModelDigestMismatch unless the manifest names this model's root."""
    found = derived(model)
    if found != manifest.model_root:
        raise ModelDigestMismatch(
            f"The workload names the model root {manifest.model_root}, its model file has {found}.",
            way_out="Serve another workload: under a foreign root honest work can be slashed. The backend's operator "
            f"must offer this one again with the root {found}, under another workload id.",
            expected=manifest.model_root,
            found=found,
        )


def read(weights: Path) -> Model:
    """A model file, of whichever family. Errors as of `container.opened`."""
    require_safetensors(weights)
    with safe_open(weights, framework="np") as file:
        encoder = (file.metadata() or {}).get("format") == EncoderConfig.format
    return read_encoder(weights) if encoder else read_model(weights)


def file_root(weights: Path) -> str:
    """The root that workloads of a model file name, 0x hex. Errors as of `container.opened`."""
    return derived(read(weights))


def derived(model: Model) -> str:
    """A model's root, 0x hex; takes half a second for SmolLM2-135M."""
    return to_hex(model_root(model, k.loaded(k.available()[0], k.usable_threads())))


def model_root(model: Model, kernels: k.Kernels) -> bytes:
    """A model's root, 32 bytes, by some set of kernels."""
    config = court_config(model)
    arrays = layout(Text(config, 1, 1)).at_home(Home.MODEL)
    first = np.frombuffer(config.leaf(), np.uint8)
    return bytes(kernels.list_root(np.stack([first, *(_array(model, array, kernels) for array in arrays)])))


def _array(model: Model, array: Array, kernels: k.Kernels) -> Digests:
    """The root of an array: over the roots of its sheets, each over the roots of its rows."""
    places = product(*map(range, array.axes))
    return kernels.list_root(np.stack([_sheet(sheet_of(model, array.name, at), array, kernels) for at in places]))


def _sheet(values: NDArray[np.generic], array: Array, kernels: k.Kernels) -> Digests:
    written = np.ascontiguousarray(values.astype(f">i{array.kind.width}", copy=False)).view(np.uint8)
    return kernels.list_root(kernels.row_roots(written, array.block * array.kind.width))


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
