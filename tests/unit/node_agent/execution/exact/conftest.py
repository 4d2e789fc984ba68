"""Fixtures: tiny models of any shape with weights of a seed, as model files."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from contracts.protocol.manifest import Manifest
from node_agent.execution.exact import golden, kernels
from node_agent.execution.exact.build import build, build_from
from node_agent.execution.exact.eager.ways import ways_of
from node_agent.execution.exact.encoder.model_file import EncoderParameters, read_encoder
from node_agent.execution.exact.llama.engine import ExactGeneration
from node_agent.execution.exact.llama.model_file import LayerParameters, Parameters, read_model
from node_agent.execution.exact.model_root import file_root
from node_agent.execution.exact.port import Way
from node_agent.execution.exact.ways import KernelWay
from node_agent.execution.model_files import ModelFiles, sha256_file

WAYS: tuple[Way, ...] = (
    *(KernelWay(kernels.loaded(name, 1)) for name in kernels.available()),
    KernelWay(kernels.loaded(kernels.available()[0], 2)),
    *ways_of("cpu"),
)
"""Every way in which this host can compute on its CPU: each set of kernels, one on two threads, and each of torch's."""

_KERNEL_WAY = "from node_agent.execution.exact import ways; WAY = ways.sound('cpu').ways[0]"
_TORCH_WAY = (
    "import sys, torch; torch.set_num_threads(int(sys.argv[2]))\n"
    "from node_agent.execution.exact.eager.products import by_name\n"
    "from node_agent.execution.exact.eager.ways import EagerWay; WAY = EagerWay(by_name('NAME'), torch.device('cpu'))"
)
PLACES: dict[str, tuple[str, int, dict[str, str]]] = {
    **{f"{name} kernels": (_KERNEL_WAY, 1, {"ASSAY_KERNELS": name}) for name in kernels.available()},
    "kernels, three threads": (_KERNEL_WAY, 3, {}),
    "torch fp32, two threads": (_TORCH_WAY.replace("NAME", "fp32"), 2, {}),
    "torch fp32, oneDNN and MKL held to AVX2": (
        _TORCH_WAY.replace("NAME", "fp32"), 1, {"ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
    ),
    "torch fp64, plain kernels": (
        _TORCH_WAY.replace("NAME", "fp64"), 1, {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
    ),
}  # fmt: skip
"""Processes that compute in the most different ways: what makes WAY there, on how many threads, with which settings."""
if "avx512_vnni" in kernels.cpu_flags():  # elsewhere a row takes seconds
    PLACES["torch int8"] = (_TORCH_WAY.replace("NAME", "int8"), 1, {})


def elsewhere(place: str, script: str, *arguments: Path) -> str:
    """What a script prints in a process of its own that computes in one of PLACES, as WAY."""
    way, threads, settings = PLACES[place]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "ASSAY_THREADS": str(threads)} | settings
    command = [
        sys.executable,
        "-c",
        f"{way.replace('sys.argv[2]', repr(str(threads)))}\n{script}",
        *map(str, arguments),
    ]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=280)
    return done.stdout


Fields = dict[str, object]
MakeModel = Callable[..., Parameters]
MakeEncoder = Callable[..., EncoderParameters]

TINY: Fields = {
    "vocab_size": 61,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 96,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": True,
}


FAMILIES: dict[str, Fields] = {
    "llama": {},
    "mistral": {"model_type": "mistral", "sliding_window": 5},
    "qwen2": {"model_type": "qwen2"},
    "qwen2 with a window": {
        "model_type": "qwen2", "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 0
    },
    "qwen3": {"model_type": "qwen3"},
    "qwen3 with a window": {
        "model_type": "qwen3", "use_sliding_window": True, "sliding_window": 2, "max_window_layers": 0
    },
}  # fmt: skip
"""What config.json says of each family, beside TINY."""


def random_state(fields: Fields, seed: int, size: float = 1.0) -> dict[str, np.ndarray]:
    """fp32 tensors with Hugging Face names, normal with a spread that keeps activations alive."""
    config = {name: value for name, value in fields.items() if isinstance(value, int)}
    width, inner, d = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    query, shared = config["num_attention_heads"] * d, config["num_key_value_heads"] * d
    rng = np.random.Generator(np.random.PCG64(seed))
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens": (config["vocab_size"], width), "model.norm": (width,)}
    if not fields["tie_word_embeddings"]:
        shapes["lm_head"] = (config["vocab_size"], width)
    for index in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{index}."
        shapes |= {
            prefix + "input_layernorm": (width,),
            prefix + "self_attn.q_proj": (query, width),
            prefix + "self_attn.k_proj": (shared, width),
            prefix + "self_attn.v_proj": (shared, width),
            prefix + "self_attn.o_proj": (width, query),
            prefix + "post_attention_layernorm": (width,),
            prefix + "mlp.gate_proj": (inner, width),
            prefix + "mlp.up_proj": (inner, width),
            prefix + "mlp.down_proj": (width, inner),
        }
        if fields.get("model_type") == "qwen3":
            shapes |= {prefix + f"self_attn.{name}_norm": (d,) for name in "qk"}
    state = {
        f"{name}.weight": (
            rng.normal(1, 0.3, shape) if len(shape) == 1 else rng.normal(0, size / shape[1] ** 0.5, shape)
        ).astype(np.float32)
        for name, shape in shapes.items()
    }
    if fields.get("model_type") == "qwen2":
        for name in [name for name in shapes if name.endswith(("q_proj", "k_proj", "v_proj"))]:
            state[f"{name}.bias"] = rng.normal(0, size, shapes[name][0]).astype(np.float32)
    return state


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Builds a tiny model through its file; keyword arguments replace fields of TINY."""

    def make(seed: int = 1, size: float = 1.0, **changes: object) -> Parameters:
        fields = TINY | changes
        state = random_state(fields, seed, size)
        path: Path = tmp_path_factory.mktemp("exact") / "model.safetensors"
        build_from(fields, state.__getitem__, hashlib.sha256(b"tiny").hexdigest(), path)
        return read_model(path)

    return make


def with_biases(model: Parameters) -> Parameters:
    """The same model, with biases of queries, keys and values."""

    def biased(layer: LayerParameters) -> LayerParameters:
        rows = len(layer.qkv.multiplier)
        bias = golden.mixed(rows, 5).astype(np.int64) % 2**18 - 2**17
        return replace(layer, qkv=replace(layer.qkv, bias=bias.astype(np.int32)))

    return replace(model, config=replace(model.config, qkv_bias=True), layers=tuple(map(biased, model.layers)))


@pytest.fixture(scope="session")
def tiny(make_model: MakeModel) -> Parameters:
    """One tiny model for tests that do not care which."""
    return make_model()


TINY_ENCODER: Fields = {
    "vocab_size": 53,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "model_type": "bert",
}


def random_encoder_state(fields: Fields, seed: int, size: float = 1.0) -> dict[str, np.ndarray]:
    """fp32 tensors of a BERT with Hugging Face names: biases and norms too, as large as `size` makes weights."""
    config = {name: value for name, value in fields.items() if isinstance(value, int)}
    width, inner = config["hidden_size"], config["intermediate_size"]
    rng = np.random.Generator(np.random.PCG64(seed))
    linears: dict[str, tuple[int, int]] = {}
    norms = ["embeddings.LayerNorm"]
    for index in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{index}."
        linears |= {prefix + f"attention.self.{name}": (width, width) for name in ("query", "key", "value")}
        linears[prefix + "attention.output.dense"] = (width, width)
        linears[prefix + "intermediate.dense"] = (inner, width)
        linears[prefix + "output.dense"] = (width, inner)
        norms += [prefix + "attention.output.LayerNorm", prefix + "output.LayerNorm"]
    tables = {"word": config["vocab_size"], "position": config["max_position_embeddings"], "token_type": 2}
    state = {f"embeddings.{name}_embeddings.weight": rng.normal(0, size, (n, width)) for name, n in tables.items()}
    for name, shape in linears.items():
        state[f"{name}.weight"] = rng.normal(0, size / shape[1] ** 0.5, shape)
        state[f"{name}.bias"] = rng.normal(0, size / 4, shape[0])
    for name in norms:
        state |= {f"{name}.weight": rng.normal(1, 0.3, width), f"{name}.bias": rng.normal(0, size / 4, width)}
    return {name: values.astype(np.float32) for name, values in state.items()}


@pytest.fixture(scope="session")
def make_encoder(tmp_path_factory: pytest.TempPathFactory) -> MakeEncoder:
    """Builds a tiny encoder through its file; keyword arguments replace fields of TINY_ENCODER."""

    def make(seed: int = 1, size: float = 1.0, **changes: object) -> EncoderParameters:
        fields = TINY_ENCODER | changes
        state = random_encoder_state(fields, seed, size)
        path: Path = tmp_path_factory.mktemp("exact") / "model.safetensors"
        build_from(fields, state.__getitem__, hashlib.sha256(b"tiny").hexdigest(), path)
        return read_encoder(path)

    return make


@pytest.fixture(scope="session")
def tiny_encoder(make_encoder: MakeEncoder) -> EncoderParameters:
    """One tiny encoder for tests that do not care which."""
    return make_encoder()


@pytest.fixture(scope="module")
def files(tiny_files: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """The reference Llama of the device's self-test as a model file."""
    path = tmp_path_factory.mktemp("exact") / "model.safetensors"
    build(tiny_files, path)
    config = path.parent / "config.json"
    return ModelFiles(path, tiny_files.tokenizer, config, sha256_file(path), tiny_files.tokenizer_sha256)


@pytest.fixture(scope="module")
def manifest(files: ModelFiles, make_manifest: Callable[..., Manifest]) -> Manifest:
    """A workload of that file."""
    return make_manifest(
        files,
        kind="generation",
        engine="exact",
        model_root=file_root(files.weights),
        engine_version=ExactGeneration.version,
        check="prefill",
        numeric_class=None,
        params={
            "max_new_tokens": {"minimum": 1, "maximum": 40},
            "temperature_milli": {"minimum": 0, "maximum": 2000},
            "top_p_ppm": {"minimum": 1, "maximum": 1_000_000},
            "seed": {"minimum": 0, "maximum": 2**63 - 1},
        },
    )


@pytest.fixture(scope="module")
def engine(files: ModelFiles, manifest: Manifest) -> ExactGeneration:
    """Loaded as a node loads it, self-test included."""
    return ExactGeneration.load(files, manifest, "cpu")
