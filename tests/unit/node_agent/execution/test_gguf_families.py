"""GGUF files of every family and type: the same model as from safetensors, or refused by the name of what differs."""

import json
from pathlib import Path

import gguf
import numpy as np
import pytest
from safetensors.numpy import load_file

from bench.exact.families import SMALL, built, random_state, small
from bench.exact.gguf_files import TYPES, type_as_read, write
from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.gguf_convert import convert

FAMILIES = ("Llama 2", "Llama 3.1", "Llama, linear scaling", "SmolLM2", "Mistral", "Qwen2.5", "Qwen2.5, YaRN", "Qwen3")


@pytest.mark.parametrize("name", FAMILIES)
def test_gguf_and_safetensors_are_one_model(name: str, tmp_path: Path) -> None:
    """Both kinds of file give the same tensors and the same integers: names, the order of rotary rows, scaling,
    windows, biases, norms. Tables may differ in their last bit where GGUF has factors in fp32."""
    fields = small(name, SMALL | {"head_dim": 12} if name == "Qwen3" else SMALL)
    state = random_state(fields)
    write(tmp_path / "m.gguf", fields, state)
    convert(tmp_path / "m.gguf", tmp_path)
    found, config = load_file(tmp_path / "model.safetensors"), json.loads((tmp_path / "config.json").read_text())
    assert set(found) == set(state)
    assert all(np.array_equal(found[each], state[each]) for each in state)
    mine, theirs = built(config, found), built(fields, state)
    assert mine.config == theirs.config
    for table in ("cos", "sin"):
        assert np.abs(getattr(mine, table).astype(int) - getattr(theirs, table)).max() <= (name == "Llama 3.1")


@pytest.mark.parametrize(
    "change",
    [
        {"num_hidden_layers": 1},
        {"num_hidden_layers": 3},
        {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 4},
    ],
)
def test_a_gguf_with_other_sizes_is_refused(change: dict[str, int], tmp_path: Path) -> None:
    """A layer fewer or more; eight heads instead of four, whose rows are as many. Covers: A70"""
    fields = small("Llama 2", SMALL | {"num_key_value_heads": 4})

    def eight_dimensions_turn(writer: gguf.GGUFWriter) -> None:
        del writer.kv_data[0]["llama.rope.dimension_count"]
        writer.add_rope_dimension_count(8)

    write(tmp_path / "m.gguf", fields | change, random_state(fields), eight_dimensions_turn)
    with pytest.raises(UnsupportedModel):
        convert(tmp_path / "m.gguf", tmp_path)


def test_descriptive_fields_change_nothing(tmp_path: Path) -> None:
    """Whose a file is, how it was quantised, and sizes that it says twice."""
    fields = small("Llama 2")
    state = random_state(fields)

    def more(writer: gguf.GGUFWriter) -> None:
        writer.add_name("tiny")
        writer.add_file_type(0)
        writer.add_key_length(8)
        writer.add_value_length(8)
        writer.add_vocab_size(40)
        writer.add_expert_count(0)
        writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)

    for name, added in (("plain", lambda writer: None), ("more", more)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "m.gguf", fields, state, added)
        convert(tmp_path / name / "m.gguf", tmp_path / name)
    assert (tmp_path / "plain" / "config.json").read_bytes() == (tmp_path / "more" / "config.json").read_bytes()


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_gguf_is_read(kind: str, tmp_path: Path) -> None:
    """Any bytes in blocks of each type are the numbers that ggml reads, to the last bit."""
    found, expected = type_as_read(kind, tmp_path)
    assert found.tobytes() == expected.tobytes()
    assert np.isfinite(expected).all()
    assert len(set(expected.ravel().tolist())) > 20
