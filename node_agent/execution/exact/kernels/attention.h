/* Scores, weights, shares and mixtures of SPEC.md: one query of one head at a time. */
#pragma once
#include "products.h"

/* The past of one text in one layer, and how many positions are new. */
typedef struct {
    int16_t *keys, *values;                   /* (K, positions, D) */
    uint8_t *key_exponents, *value_exponents; /* (K, positions) */
    int64_t positions, used, count;
} Text;

/* The sum of n <= 256 products within 2^24. */
INLINE int32_t dot(const int16_t *a, const int16_t *b, int64_t n) {
    int32_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (int32_t)a[i] * b[i];
    return sum;
}

/* The same for one query and four keys that lie one after the other. */
INLINE void four_dots(const int16_t *q, const int16_t *keys, int64_t n, int32_t *dots) {
#if defined(__AVX2__)
    if (n % 16 == 0) {
        __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
        for (int64_t i = 0; i < n; i += 16) {
            __m256i x = _mm256_loadu_si256((const __m256i *)(q + i));
#pragma clang loop unroll(full)
            for (int j = 0; j < 4; j++) {
                __m256i key = _mm256_loadu_si256((const __m256i *)(keys + j * n + i));
                sums[j] = _mm256_add_epi32(sums[j], _mm256_madd_epi16(x, key));
            }
        }
        __m256i four = _mm256_hadd_epi32(_mm256_hadd_epi32(sums[0], sums[1]), _mm256_hadd_epi32(sums[2], sums[3]));
        __m128i whole = _mm_add_epi32(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
        _mm_storeu_si128((__m128i *)dots, whole);
        return;
    }
#endif
    for (int j = 0; j < 4; j++) dots[j] = dot(q, keys + j * n, n);
}

typedef struct {
    const int32_t *exp2;
    int64_t head_dim;
    const int16_t *keys, *values;
    const uint8_t *key_exponents, *value_exponents;
    int64_t seen;
} Past;

/* Scores and weights: fills weight with w_j; returns the sum of E_j, and of w_j in *weight_sum. */
static int64_t weigh(const Past *past, const int16_t *q, int eq, int64_t *weight, int64_t *weight_sum) {
    int64_t best = -((int64_t)1 << 62), exp_sum = 0, sum = 0, d = past->head_dim;
    const int shift = 2 * HEAD_FRACTION - SCORE_FRACTION;
    for (int64_t start = 0; start < past->seen; start += 4) {
        int64_t count = smaller(4, past->seen - start);
        int32_t dots[4];
        if (count == 4)
            four_dots(q, past->keys + start * d, d, dots);
        else
            for (int64_t j = 0; j < count; j++) dots[j] = dot(q, past->keys + (start + j) * d, d);
        for (int64_t j = 0; j < count; j++) {
            int64_t power = (int64_t)1 << (eq + past->key_exponents[start + j]);
            weight[start + j] = rsh(dots[j] * power, shift);
            best = larger(best, weight[start + j]);
        }
    }
    for (int64_t j = 0; j < past->seen; j++) {
        int64_t z = smaller(best - weight[j], SCORE_DISTANCE_MAX);
        int64_t e = past->exp2[z & ((1 << SCORE_FRACTION) - 1)] >> (z >> SCORE_FRACTION);
        weight[j] = e << past->value_exponents[j];
        exp_sum += e;
        sum += weight[j];
    }
    *weight_sum = sum;
    return exp_sum;
}

enum { COLUMNS = 64 };

/* sums[i] = sum_j share_j v_ji of some columns; callers pass a constant `count`, so that sums stay in registers. */
INLINE void mix_columns(const int16_t *values, int64_t d, const int64_t *share, int64_t seen, const int count,
                        int32_t *out) {
    int32_t sums[COLUMNS] = {0};
    for (int64_t j = 0; j < seen; j++) {
        int32_t times = (int32_t)share[j];
        if (!times) continue;
        for (int i = 0; i < count; i++) sums[i] += times * values[j * d + i];
    }
    for (int i = 0; i < count; i++) out[i] = sums[i];
}

/* Attention of one query of one head: q and eq to (D,) mixtures with 20 fraction bits. `weight`: room for `seen`. */
static void attend(const Past *past, const int16_t *q, int eq, int64_t *weight, int64_t *out) {
    int64_t weight_sum, exp_sum = weigh(past, q, eq, weight, &weight_sum), share_sum = 0, d = past->head_dim;
    int drop = (int)larger(0, bits((uint64_t)weight_sum) - WEIGHT_SUM_BITS);
    int64_t short_sum = weight_sum >> drop, reciprocal = ((int64_t)1 << 61) / short_sum;
    for (int64_t j = 0; j < past->seen; j++) {
        weight[j] = ((weight[j] >> drop) * reciprocal) >> (61 - PROBABILITY_BITS);
        share_sum += weight[j];
    }
    int32_t sums[HEAD_DIM_MAX];
    int64_t start = 0;
    for (; start + COLUMNS <= d; start += COLUMNS)
        mix_columns(past->values + start, d, weight, past->seen, COLUMNS, sums + start);
    for (; start + COLUMNS / 4 <= d; start += COLUMNS / 4)
        mix_columns(past->values + start, d, weight, past->seen, COLUMNS / 4, sums + start);
    for (; start < d; start++) mix_columns(past->values + start, d, weight, past->seen, 1, sums + start);
    int64_t ratio = (short_sum * (((int64_t)1 << 54) / exp_sum)) >> 8, scale = ratio / larger(1, share_sum);
    int shift = 46 + HEAD_FRACTION - MIXED_FRACTION - drop;
    for (int64_t i = 0; i < d; i++) out[i] = rsh(sums[i] * scale, shift);
}
