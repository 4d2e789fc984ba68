/* The words of SPEC.md: constants, shifts, shorten, norm. */
#pragma once
#include <stdint.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))
#define INLINE static inline __attribute__((always_inline))

enum {
    ACTIVATION_MAX = (1 << 14) - 1,
    RESIDUAL_FRACTION = 20,
    HEAD_FRACTION = 16,
    HEAD_MAX = (1 << 25) - 1,
    LOGIT_FRACTION = 16,
    NORM_BITS = 23,
    NORM_FRACTION = 24,
    NORMED_FRACTION = 40,
    ROTARY_FRACTION = 14,
    SCORE_FRACTION = 12,
    SCORE_DISTANCE_MAX = (1 << 17) - 1,
    WEIGHT_SUM_BITS = 31,
    PROBABILITY_BITS = 16,
    VALUE_BITS = 9,
    MIXED_FRACTION = 20,
    SIGMOID_STEP_BITS = 10,
    NORMAL_STEP_BITS = 11,
    TABLE_HALF = 1 << 14,
    GATED_FRACTION = 40,
    HEAD_DIM_MAX = 256,
};
#define RESIDUAL_MAX (((int64_t)1 << 35) - 1)
#define STATE_MAX (((int64_t)1 << 31) - 1)
#define LOGIT_MAX STATE_MAX

INLINE int bits(uint64_t n) { return n ? 64 - __builtin_clzll(n) : 0; }
INLINE int64_t magnitude(int64_t v) { return v < 0 ? -v : v; }
INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t sat(int64_t v, int64_t most) { return smaller(larger(v, -most), most); }
INLINE int64_t rsh(int64_t v, int n) { return (v + (((int64_t)1 << n) >> 1)) >> n; }

/* The bits of the largest magnitude: those of all magnitudes or-ed together. */
static int widest(const int64_t *v, int64_t n) {
    uint64_t any = 0;
    for (int64_t i = 0; i < n; i++) any |= (uint64_t)magnitude(v[i]);
    return bits(any);
}

/* shorten(v, b) with most = 2^(b - 1) - 1; returns the exponent. */
static int shorten(const int64_t *v, int64_t n, int64_t most, int16_t *q) {
    int e = (int)larger(0, widest(v, n) - bits((uint64_t)most));
    for (int64_t i = 0; i < n; i++) q[i] = (int16_t)sat(rsh(v[i], e), most);
    return e;
}

/* Rounded down, of 2^60..2^62 - 1: the seed is within 1. */
static int64_t square_root(int64_t v) {
    int64_t root = (int64_t)__builtin_sqrt((double)v);
    if (root * root > v) root--;
    if ((root + 1) * (root + 1) <= v) root++;
    return root;
}

/* Steps 1 to 3 of norm: x becomes a; returns r, and j in *lift. */
static int64_t unit(int64_t *x, int64_t n, int64_t epsilon, int *lift) {
    int e = (int)larger(0, widest(x, n) - NORM_BITS);
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        x[i] = rsh(x[i], e);
        sum += x[i] * x[i];
    }
    sum = larger(1, sum + (epsilon >> (2 * e)));
    *lift = (62 - bits((uint64_t)sum)) >> 1;
    return ((int64_t)1 << 61) / square_root(sum << (2 * *lift));
}

/* norm(x, gain) in place, 40 fraction bits. */
static void norm(int64_t *x, int64_t n, int64_t epsilon, const int32_t *gain) {
    int lift;
    int64_t r = unit(x, n, epsilon, &lift);
    int shift = 61 - NORM_FRACTION - lift;
    for (int64_t i = 0; i < n; i++) x[i] = rsh(x[i] * r, shift) * gain[i];
}
