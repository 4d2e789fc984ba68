"""The self-test that a host must pass before it may sign anything: its arithmetic is correct and repeats itself.

Known answers hold on any IEEE 754 device, to the bit, and fail where precision is reduced (TF32 keeps 10 bits of
mantissa, fp32 23). Repetition: a small Llama of fixed integers, run twice, prefill and decode, must give one trace. No
golden trace is pinned for it, since float traces depend on the numeric class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch

from node_agent.devices import numeric_class
from node_agent.devices.gpu import resolve
from node_agent.execution import determinism
from node_agent.execution.errors import SelfTestFailed
from node_agent.execution.floats.decoding import greedy, read
from node_agent.execution.floats.llama import Llama
from node_agent.execution.published import LlamaConfig
from node_agent.execution.trace import Trace

REFERENCE_CONFIG = LlamaConfig(
    vocab_size=512, hidden_size=64, intermediate_size=160, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, max_position_embeddings=512, rms_norm_eps=1e-5, rope_theta=10_000.0,
    tie_word_embeddings=True, eos_token_id=2,
)  # fmt: skip

_REQUIRED_SWITCHES = {
    "cudnn_benchmark": "False",
    "deterministic_algorithms": "True",
    "float32_matmul_precision": "highest",
    "threads": str(determinism.CPU_THREADS),
    "tf32_cudnn": "False",
    "tf32_matmul": "False",
}


@dataclass(frozen=True)
class Report:
    """A passed self-test. `trace_hash`: hex trace of the reference model, equal among hosts of one `numeric_class`."""

    device: str
    numeric_class: str
    trace_hash: str
    checks: tuple[str, ...]


def run(device: str | None = None) -> Report:
    """Checks a device ("cpu", "cuda" or "cuda:N"); takes under a second on a CPU.

    Raises SelfTestFailed, which names the check and both values, or NumericClassMismatch if the device is missing.
    """
    where = resolve(device)
    found = numeric_class.current(str(where))
    checks: dict[str, Callable[[torch.device], None]] = {
        "switches": _switches,
        "integer products": _integer_products,
        "even softmax": _even_softmax,
        "ties": _ties,
    }
    with torch.inference_mode():
        for check in checks.values():
            check(where)
        trace = _repetition(where)
    return Report(str(where), found.digest, trace, (*checks, "repetition"))


@cache
def passed(device: str | None = None) -> Report:
    """`run`, once per process and device. A failure is not cached."""
    return run(device)


def reference_model(device: torch.device, seed: int = 1) -> Llama:
    """A small Llama whose weights are fixed integers over a power of two: the same on every host, without an RNG."""
    state = reference_state(REFERENCE_CONFIG, seed)
    return Llama.from_state(REFERENCE_CONFIG, state, state.__getitem__, device)


def reference_state(config: LlamaConfig, seed: int = 1) -> dict[str, torch.Tensor]:
    """Tensors with Hugging Face names for a tied-embedding config; see `reference_model`."""
    width, inner = config.hidden_size, config.intermediate_size
    query, shared = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (config.vocab_size, width)}
    for index in range(config.num_hidden_layers):
        prefix = f"model.layers.{index}."
        shapes |= {f"{prefix}self_attn.{name}_proj.weight": (n, width) for name, n in (("q", query), ("k", shared))}
        shapes |= {f"{prefix}self_attn.v_proj.weight": (shared, width), f"{prefix}mlp.down_proj.weight": (width, inner)}
        shapes |= {f"{prefix}self_attn.o_proj.weight": (width, query), f"{prefix}mlp.gate_proj.weight": (inner, width)}
        shapes |= {f"{prefix}mlp.up_proj.weight": (inner, width), f"{prefix}input_layernorm.weight": (width,)}
        shapes |= {f"{prefix}post_attention_layernorm.weight": (width,)}
    shapes["model.norm.weight"] = (width,)
    return {name: _integers(shape, seed * 1000 + index) for index, (name, shape) in enumerate(shapes.items())}


def _integers(shape: tuple[int, ...], stream: int) -> torch.Tensor:
    """Integers of -127..127 over 512, from the mixer of splitmix64 (Steele, Lea, Flood 2014); norms near one."""
    count = int(np.prod(shape))
    x = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(stream << 32)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    values = ((x >> np.uint64(33)) % np.uint64(255)).astype(np.float32) - 127
    scaled = values / np.float32(512) + (1 if len(shape) == 1 else 0)
    return torch.from_numpy(scaled.astype(np.float32).reshape(shape))


def _switches(device: torch.device) -> None:
    found = determinism.switches()
    for name, required in _REQUIRED_SWITCHES.items():
        _require(f"switch {name}", required, found[name], "Let nothing else in this process set torch's switches.")


def _integer_products(device: torch.device) -> None:
    """Products of 12-bit integers summing below 2^24 are exact in fp32 in any order, but not in shorter types."""
    rows, columns = torch.arange(16)[:, None], torch.arange(64)[None, :]
    left = (rows * 37 + columns * 101) % 2048 * 2 - 2047  # (16, 64) odd, 12 bits with sign
    right = (columns.t() * 53 + rows.t() * 71) % 127 - 63  # (64, 16) 7 bits with sign
    expected = (left[:, :, None] * right[None]).sum(1)  # (16, 16) int64, |.| < 2047 * 63 * 64 < 2^24
    found = (left.float().to(device) @ right.float().to(device)).cpu().to(torch.int64)
    _require("integer products", expected.tolist(), found.tolist(), "Turn TF32 and reduced-precision products off.")


def _even_softmax(device: torch.device) -> None:
    """exp(0) is 1, and a sum of 2^n ones and its reciprocal are exact, so equal scores weigh exactly 2^-n."""
    found = set(torch.zeros(4, 256, device=device).softmax(-1).flatten().tolist())
    _require("even softmax", {2.0**-8}, found, "Use an unmodified build of torch.")


def _ties(device: torch.device) -> None:
    """Among equal logits the lowest id is chosen."""
    logits = torch.zeros(300, device=device)
    logits[[270, 9, 41]] = 1.0
    _require("ties", 9, greedy(logits.cpu().numpy()), "Use an unmodified build of numpy.")


def _repetition(device: torch.device) -> str:
    first, second = (_reference_trace(reference_model(device)) for _ in range(2))
    _require("repetition", first, second, "This host does not repeat itself: look for failing memory or overclocking.")
    return first


def _reference_trace(model: Llama, prompt_tokens: int = 70, new_tokens: int = 24) -> str:
    prompt = [(7 * index + 3) % model.config.vocab_size for index in range(prompt_tokens)]
    cache, trace = model.new_cache(prompt_tokens + new_tokens), Trace()
    token = read(model, prompt, cache, trace)
    for _ in range(new_tokens):
        token = read(model, [token], cache, trace)
    return trace.digest().hex()


def _require(check: str, expected: object, found: object, way_out: str) -> None:
    if expected != found:
        raise SelfTestFailed(
            f"Self-test '{check}' must give {expected}, and gave {found}.",
            way_out=f"{way_out} Until it passes, this host signs nothing.",
            check=check,
            expected=expected,
            found=found,
        )
