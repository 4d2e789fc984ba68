"""Tables by big integers hold the integers nearest to the real numbers."""

import hashlib
import math
from fractions import Fraction

import numpy as np
import pytest

from node_agent.execution.errors import UnsupportedModel
from node_agent.execution.exact import tables


def test_exp2_and_sigmoid_are_nearest() -> None:
    """Within half a step of the double-precision values, and pinned: every host must make the same."""
    exp2 = tables.exp2_table()
    assert np.abs(exp2 - 2.0**24 * 2.0 ** (-np.arange(4096) / 4096)).max() < 0.5001
    sigmoid = tables.sigmoid_table()
    assert np.abs(sigmoid - 2.0**24 / (1 + np.exp(-(np.arange(32768) - 16384) / 1024))).max() < 0.5001
    assert hashlib.sha256(exp2.tobytes() + sigmoid.tobytes()).hexdigest() == PINNED


PINNED = "999f721b78cdb029a32c8e5c0dac5a11144b446799494fc585ad0dbe7cf930c8"


def test_normal_is_nearest() -> None:
    """Phi by steps of Taylor series against the host's erfc, and at 3 against its series in rationals; pinned."""
    normal = tables.normal_table()
    real = [0.5 * math.erfc(-(index - 16384) / 2048 / math.sqrt(2)) for index in range(32768)]
    assert np.abs(normal - 2.0**24 * np.array(real)).max() < 0.5001
    assert (normal[0], normal[16384], normal[-1]) == (0, 2**23, 2**24)
    term, total, n = Fraction(3), Fraction(3), 0  # Phi(x) = 1/2 + phi(x) (x + x^3/3 + x^5/(3*5) + ...)
    while term > Fraction(1, 2**100):
        n += 1
        term *= Fraction(9, 2 * n + 1)
        total += term
    density = Fraction(tables.exp(-9 * tables.ONE // 2), math.isqrt(2 * tables.pi() << tables.BITS))
    assert normal[16384 + 3 * 2048] == round(2**24 * (Fraction(1, 2) + density * total))
    assert hashlib.sha256(normal.tobytes()).hexdigest() == PINNED_NORMAL


PINNED_NORMAL = "a3956ac2a194f9e1b3b5d31b6faffc2024fc2a79b1f26b98c1e68aa06b1362aa"


@pytest.mark.parametrize(("head_dim", "theta"), [(64, 100_000), (128, 500_000), (6, 10_000)])
def test_rotary_tables_are_nearest(head_dim: int, theta: int) -> None:
    """cos and sin of position times frequency, far into the context."""
    cos, sin = tables.rotary_tables(head_dim, 2000, Fraction(theta), None)
    frequency = float(theta) ** (-np.arange(0, head_dim, 2) / head_dim)
    angle = np.outer(np.arange(2000), frequency)
    assert np.abs(cos - 2.0**14 * np.cos(angle)).max() < 0.501
    assert np.abs(sin - 2.0**14 * np.sin(angle)).max() < 0.501


def test_llama3_scaling_is_transformers() -> None:
    """Frequencies of the three bands as Hugging Face computes them."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    config = LlamaConfig(head_dim=64, hidden_size=2048, num_attention_heads=32, rope_parameters=scaling)
    theirs, _ = ROPE_INIT_FUNCTIONS["llama3"](config, device="cpu")
    angle = np.outer(np.arange(100), theirs.numpy().astype(np.float64))
    cos, _ = tables.rotary_tables(64, 100, Fraction(500_000), scaling)
    assert np.abs(cos - 2.0**14 * np.cos(angle)).max() < 0.8  # theirs are fp32


def test_constants() -> None:
    """pi, ln, exp against the standard library's doubles, and the scale of queries."""
    assert tables.pi() / tables.ONE == pytest.approx(math.pi, rel=1e-15)
    assert tables.ln(Fraction(10)) / tables.ONE == pytest.approx(math.log(10), rel=1e-15)
    assert tables.exp(-3 * tables.ONE) / tables.ONE == pytest.approx(math.exp(-3), rel=1e-15)
    assert float(tables.query_scale(64)) == pytest.approx(math.log2(math.e) / 8, rel=1e-15)


@pytest.mark.parametrize("value", [-1, 0, True, "10000", None, math.inf, math.nan, 10**400, 1e-300, [1], {}])
def test_what_is_no_positive_number_is_refused(value: object) -> None:
    """Protects whoever builds a stranger's model: with rope_theta = -1 the tables' series never ended. Covers: A48"""
    with pytest.raises(UnsupportedModel, match="positive number"):
        tables.rational(value)


def test_numbers_are_the_decimals_that_stand_there() -> None:
    """1e-05 of a configuration is 1/100000 on every host."""
    assert tables.rational(1e-05) == Fraction(1, 100_000)
    assert tables.rational(10_000) == 10_000
