"""One file with one digest decides the arithmetic, and no file can break its bounds."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node_agent.devices.self_test import REFERENCE_CONFIG, reference_state
from node_agent.execution.errors import UnsafeModelFormat, UnsupportedModel
from node_agent.execution.exact import arithmetic as a
from node_agent.execution.exact.build import build_from
from node_agent.execution.exact.container import Integers, write_model
from node_agent.execution.exact.llama.model_file import Parameters, read_model
from node_agent.execution.exact.llama.reference import Reference
from node_agent.execution.exact.quantise import quantise
from node_agent.execution.model_files import sha256_file
from tests.unit.node_agent.execution.exact.conftest import TINY, random_state
from tests.world.soak import short_or_long


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A tiny model's file."""
    state = random_state(TINY, 1)
    build_from(TINY, state.__getitem__, "0" * 64, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    """The digest is pinned: a builder that changes a bit would give every host another model."""
    state = {name: tensor.numpy() for name, tensor in reference_state(REFERENCE_CONFIG).items()}
    build_from(asdict(REFERENCE_CONFIG), state.__getitem__, "0" * 64, tmp_path / "model")
    assert sha256_file(tmp_path / "model") == PINNED
    assert read_model(tmp_path / "model").config.query_bits == 10


PINNED = "a49af66e9071f205c70be43fe563d5346f88c61a4f41a654bfd414fa50fa4a22"


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    """A pickle runs code when it is loaded."""
    (tmp_path / "model.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(UnsafeModelFormat):
        read_model(tmp_path / "model.pt")


def test_numbers_out_of_range_are_refused(path: Path, tmp_path: Path) -> None:
    """-128 as a weight, a multiplier of 2^24: what the bounds of SPEC.md do not cover is not computed."""
    good = read_model(path)
    for name, value in {
        "layers.0.down.weight": -128,
        "layers.1.qkv.multiplier": 2**24,
        "embedding.exponent": 38,
        "final_norm": 2**30,
        "table.exp2": 2**24 - 1,
        "table.sigmoid": -1,
    }.items():
        tensors = _tensors(good)
        tensors[name] = tensors[name].copy()
        tensors[name].flat[0] = value
        write_model(tmp_path / "bad", good.config, tensors.__getitem__)
        with pytest.raises(UnsupportedModel, match=name):
            read_model(tmp_path / "bad")


SENSELESS: list[dict[str, object]] = [
    {},
    {"num_key_value_heads": 0},
    {"num_hidden_layers": -1},
    {"positions": 2**15 + 1},
    {"head_dim": 8.0},
    {"tied": 1},
    {"epsilon": True},
    {"more": 1},
]


def test_a_header_that_lies_is_refused(path: Path) -> None:
    """A configuration that does not fit the tensors."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    config = json.loads(header["__metadata__"]["config"])
    for change in ({"tied": False}, {"num_hidden_layers": 3}, {"query_bits": 12}, {"hidden_size": 25}, *SENSELESS):
        header["__metadata__"]["config"] = json.dumps(config | change) if change else "[" * 9000
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])
        with pytest.raises(UnsupportedModel):
            read_model(path)


@settings(max_examples=short_or_long(16, 200), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_file_leaves_64_bits(make_model, data) -> None:
    """Models made of extreme numbers only: the reference raises where a value needs more than SPEC.md's 63 bits."""
    d = data.draw(st.sampled_from([2, 64, 130, 256]))
    good = make_model(head_dim=d, hidden_size=9, intermediate_size=7, tie_word_embeddings=False, vocab_size=5)
    rng = np.random.Generator(np.random.PCG64(data.draw(st.integers(0, 2**32))))
    tensors = _tensors(good)
    for name, values in tensors.items():
        if not name.startswith("table."):
            tensors[name] = _extreme(name, values, data.draw(st.sampled_from("hlmr")), rng)
    reference = Reference(Parameters.assemble(good.config, tensors.__getitem__))
    for token in data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=5)):
        assert all(abs(logit) <= a.LOGIT_MAX for logit in reference.logits(token))


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=9).filter(any) | st.just([0.0]),
)
def test_quantised_weights_are_near(values: list[float]) -> None:
    """No weight is off by more than half a step of its row."""
    row = np.array([values], np.float32)
    matrix = quantise(row)
    scale = float(matrix.multiplier[0]) * 2.0**-matrix.exponent
    step = np.abs(row).max() / a.WEIGHT_MAX
    assert np.all(np.abs(matrix.weight * scale - row) <= 0.5001 * step + 2.0**-30)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e9])
def test_senseless_weights_are_refused(bad: float) -> None:
    """NaN, infinity, and scales that multipliers cannot hold."""
    with pytest.raises(UnsupportedModel):
        quantise(np.array([[1.0, bad]], np.float32))


def test_rotary_settings_are_found_in_both_places(tmp_path: Path) -> None:
    """Newer configurations keep theta and scaling in `rope_parameters`; a default would be another model."""
    state, paths = random_state(TINY, 1), [tmp_path / "old", tmp_path / "new"]
    build_from(TINY | {"rope_theta": 500.5}, state.__getitem__, "0" * 64, paths[0])
    newer = {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 500.5}}
    build_from(TINY | newer, state.__getitem__, "0" * 64, paths[1])
    assert sha256_file(paths[0]) == sha256_file(paths[1])


@pytest.mark.parametrize(
    "change",
    [
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"rope_scaling": {"rope_type": "yarn", "factor": 2}},
        {"rope_theta": None},
        {"num_key_value_heads": 3},
        {"head_dim": 7},
        {"intermediate_size": 65536},
    ],
)
def test_other_models_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """What SPEC.md does not cover is refused, not approximated."""
    with pytest.raises(UnsupportedModel):
        build_from(TINY | change, lambda name: np.zeros((1, 1), np.float32), "0" * 64, tmp_path / "model")


def _extreme(name: str, values: Integers, mode: str, rng: np.random.Generator) -> Integers:
    """All high, all low, either at random, or anything between."""
    low, high = {
        "weight": (-127, 127),
        "multiplier": (0, 2**24 - 1),
        "exponent": (24, 37),
    }.get(name.rpartition(".")[2], (-(2**30) + 1, 2**30 - 1))
    made = {
        "h": np.full(values.shape, high),
        "l": np.full(values.shape, low),
        "m": rng.choice([low, high], values.shape),
        "r": rng.integers(low, high + 1, values.shape),
    }[mode]
    return made.astype(values.dtype)


def _tensors(parameters: Parameters) -> dict[str, Integers]:
    """A model's tensors by the names of its file."""
    found: dict[str, Integers] = {}
    for name in parameters.config.shapes():
        *path, field = name.split(".")
        value: object = parameters
        if path[:1] == ["layers"]:
            value, path = parameters.layers[int(path[1])], path[2:]
        for step in path:
            value = value if step == "table" else getattr(value, step)
        got = getattr(value, field)
        found[name] = np.array([got], np.int32) if field == "exponent" else got
    return found
