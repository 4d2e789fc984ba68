"""Constants of SPEC.md, in one place for the builder, the reference and the fast path.

A value with `F` fraction bits is an integer that stands for itself times 2^-F. Changing any number here changes what
every model computes, and so the engine's version.
"""

ACTIVATION_MAX = 2**14 - 1
"""Inputs of matrix products: 15 bits with sign, of which `q >> 7` and `q & 127` are the two int8 halves."""

WEIGHT_MAX = 127
"""Weights of matrix products: 8 bits with sign, symmetric."""

MULTIPLIER_BITS = 24
"""Scales of output channels are multipliers below 2^24 over one power of two a matrix."""

MIN_EXPONENT, MAX_EXPONENT = 24, 37
"""Range of that power of two. It keeps every shift of `linear` within 0..61."""

BIAS_MAX = 2**30 - 1
"""Biases have as many fraction bits as what they are added to."""

RESIDUAL_FRACTION, RESIDUAL_MAX = 20, 2**35 - 1
HEAD_FRACTION, HEAD_MAX = 16, 2**25 - 1
"""Queries, keys, values, gates and ups: 16 fraction bits, saturated to +-512."""

LOGIT_FRACTION, LOGIT_MAX = 16, 2**31 - 1

NORM_BITS = 23
"""Residuals are shortened to this many bits before they are squared."""

NORM_FRACTION = 24
GAIN_FRACTION = 16
GAIN_MAX = 2**30 - 1
NORMED_FRACTION = NORM_FRACTION + GAIN_FRACTION
EPSILON_FRACTION, EPSILON_MAX = 2 * RESIDUAL_FRACTION, 2**60
HEAD_EPSILON_FRACTION = 2 * HEAD_FRACTION

ROTARY_FRACTION = 14

PRODUCT_BITS = 24
"""A sum of |a b| of at most 2^24 is exact in fp32 in any order. Attention's bit widths are chosen to stay within."""

SCORE_FRACTION = 12
EXP2_FRACTION, EXP2_INDEX_BITS = 24, 12
SCORE_DISTANCE_MAX = 2**17 - 1
"""Scores further than this below the largest weigh nothing: 2^-31.99 of 2^24 is 0."""

HIDDEN_SCORE = -(2**61)
"""The score of a position that is not seen: its weight is 0, and its difference to any score fits into 63 bits."""

WEIGHT_SUM_BITS = 31
PROBABILITY_BITS = 16
VALUE_BITS = 9
"""Values in the cache, with sign: 2^16 * 255 < 2^24, for any length of context."""

MIXED_FRACTION = 20

SIGMOID_FRACTION, SIGMOID_INDEX_BITS, SIGMOID_STEP_BITS = 24, 15, 10
"""Sigmoid's table: 2^15 entries, 2^-10 apart, from -16."""

GATED_FRACTION = 40

STATE_MAX = 2**31 - 1
"""An encoder's states have RESIDUAL_FRACTION bits too and fit into int32, as the trace keeps them: +-2048."""

NORMAL_FRACTION, NORMAL_INDEX_BITS, NORMAL_STEP_BITS = 24, 15, 11
"""The table of the normal distribution, for GELU: 2^15 entries, 2^-11 apart, from -8, where it is 0 to 24 bits."""

VECTOR_FRACTION = 20
"""An embedding's numbers: those of a unit vector."""

MAX_POSITIONS = 2**15
MAX_WIDTH = 2**14
MAX_INNER = 2**16 - 1
MAX_HEAD_DIM = 256


def query_key_bits(head_dim: int) -> tuple[int, int]:
    """Bits with sign of queries and keys, so that head_dim products sum below 2^24; keys get the odd bit.

    >>> query_key_bits(64), query_key_bits(128)
    ((10, 10), (9, 10))
    """
    room = PRODUCT_BITS - (head_dim - 1).bit_length()
    query = min(room // 2, 9)
    return query + 1, min(room - room // 2, 9) + 1
