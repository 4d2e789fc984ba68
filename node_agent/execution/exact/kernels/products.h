/* linear(M, y) of SPEC.md for many rows: tiles of exact products. */
#pragma once
#include "threads.h"

typedef struct {
    const int8_t *weight;      /* (O, I) */
    const int32_t *multiplier; /* (O,) */
    const int32_t *bias;       /* (O,), or null */
    int64_t outputs, inputs, exponent;
} Matrix;

/* Sums of products of 16 bits by 8 bits in 32-bit lanes, at most 2 * 2^14 * 127 a step. After BLOCK inputs lanes are
 * added up and widened to 64 bits: by then eight lanes together (AVX-512), or four (AVX2), are still below 2^31. */
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
typedef __m512i Lanes;
enum { STEP = 32, BLOCK = 1024, ROWS = 4, OUTS = 6, FEW = 16, FEW_ROWS = 8, FEW_OUTS = 3 };
INLINE Lanes zero(void) { return _mm512_setzero_si512(); }
INLINE Lanes load(const int16_t *q) { return _mm512_loadu_si512(q); }
INLINE Lanes widen(const int8_t *w) { return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)w)); }
INLINE Lanes more(Lanes sum, Lanes w, Lanes q) { /* the compiler would take its intrinsic apart into two instructions */
    __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(q));
    return sum;
}
INLINE __m256i half(Lanes sum) {
    return _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
}
INLINE Lanes plus(Lanes a, Lanes b) { return _mm512_add_epi32(a, b); }
INLINE int64_t total(Lanes sum) {
    __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum));
    return _mm512_reduce_add_epi64(_mm512_add_epi64(low, _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sum, 1))));
}
#elif defined(__AVX2__)
typedef __m256i Lanes;
enum { STEP = 16, BLOCK = 1024, ROWS = 2, OUTS = 6, FEW = 8, FEW_ROWS = 4, FEW_OUTS = 3 };
INLINE Lanes zero(void) { return _mm256_setzero_si256(); }
INLINE Lanes load(const int16_t *q) { return _mm256_loadu_si256((const __m256i *)q); }
INLINE Lanes widen(const int8_t *w) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w)); }
INLINE Lanes more(Lanes sum, Lanes w, Lanes q) { return _mm256_add_epi32(sum, _mm256_madd_epi16(w, q)); }
INLINE __m256i half(Lanes sum) { return sum; }
INLINE Lanes plus(Lanes a, Lanes b) { return _mm256_add_epi32(a, b); }
INLINE int64_t total(Lanes sum) {
    __m256i low = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(sum));
    __m256i four = _mm256_add_epi64(low, _mm256_cvtepi32_epi64(_mm256_extracti128_si256(sum, 1)));
    __m128i two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256(four, 1));
    return _mm_cvtsi128_si64(two) + _mm_extract_epi64(two, 1);
}
#else
/* Left to the compiler's vectors; one lane takes one product a step. */
typedef int32_t Lanes;
enum { STEP = 1, BLOCK = 1024, FEW_ROWS = 4, FEW_OUTS = 4 };
INLINE Lanes zero(void) { return 0; }
INLINE Lanes load(const int16_t *q) { return *q; }
INLINE Lanes widen(const int8_t *w) { return *w; }
INLINE Lanes more(Lanes sum, Lanes w, Lanes q) { return sum + w * q; }
INLINE Lanes plus(Lanes a, Lanes b) { return a + b; }
INLINE int64_t total(Lanes sum) { return sum; }
#endif

enum { LINE = 64 };

/* Adds the totals of `n` lanes to sums, four at a time. */
INLINE void add_totals(const Lanes *lanes, const int n, int64_t *sums) {
    int i = 0;
#if defined(__AVX2__)
    for (; i + 4 <= n; i += 4) {
        __m256i low = _mm256_hadd_epi32(half(lanes[i]), half(lanes[i + 1]));
        __m256i four = _mm256_hadd_epi32(low, _mm256_hadd_epi32(half(lanes[i + 2]), half(lanes[i + 3])));
        __m256i wide = _mm256_add_epi64(_mm256_cvtepi32_epi64(_mm256_castsi256_si128(four)),
                                        _mm256_cvtepi32_epi64(_mm256_extracti128_si256(four, 1)));
        __m256i *to = (__m256i *)(sums + i);
        _mm256_storeu_si256(to, _mm256_add_epi64(_mm256_loadu_si256(to), wide));
    }
    for (; i < n; i++) {
        __m256i two = _mm256_hadd_epi32(half(lanes[i]), _mm256_setzero_si256());
        two = _mm256_hadd_epi32(two, _mm256_setzero_si256());
        sums[i] += (int64_t)_mm256_extract_epi32(two, 0) + _mm256_extract_epi32(two, 4);
    }
#else
    for (; i < n; i++) sums[i] += lanes[i];
#endif
}

/* Adds to sums[o][r] the products of `rows` rows of activations and `outs` of weights over `inputs` <= BLOCK. Weights are
 * `wide`, 16 bits each, or 8. All three are constants where it is used, so that the lanes stay in registers. `ahead`,
 * or null: what will be read next, fetched meanwhile as one stream. */
INLINE void tile(const int16_t *q, int64_t q_next, const void *weights, int64_t w_next, int64_t inputs, const int rows,
                 const int outs, const int wide, const int8_t *ahead, int64_t *sums) {
    const int16_t *w16 = weights;
    const int8_t *w8 = weights;
    Lanes lanes[rows * outs];
    int64_t k = 0;
#pragma clang loop unroll(full)
    for (int i = 0; i < rows * outs; i++) lanes[i] = zero();
    for (; k + STEP <= inputs; k += STEP) {
        if (ahead)
            for (int i = 0; i < outs * STEP; i += LINE) __builtin_prefetch(ahead + k * outs + i);
        Lanes of_row[rows];
#pragma clang loop unroll(full)
        for (int r = 0; r < rows; r++) of_row[r] = load(q + r * q_next + k);
#pragma clang loop unroll(full)
        for (int o = 0; o < outs; o++) {
            Lanes weight = wide ? load(w16 + o * w_next + k) : widen(w8 + o * w_next + k);
#pragma clang loop unroll(full)
            for (int r = 0; r < rows; r++) lanes[o * rows + r] = more(lanes[o * rows + r], weight, of_row[r]);
        }
    }
    add_totals(lanes, rows * outs, sums);
    for (; k < inputs; k++)
        for (int i = 0; i < rows * outs; i++) {
            int64_t at = i / rows * w_next + k;
            sums[i] += (int64_t)q[i % rows * q_next + k] * (wide ? w16[at] : w8[at]);
        }
}

typedef struct {
    const Matrix *matrix;
    const int16_t *q;     /* (T, I) */
    const int32_t *shift; /* (T,) exponent + F_in - F_out - e */
    int64_t rows;
    int32_t *put;   /* (T, O) saturated results, or null: */
    int64_t most;   /* at which they saturate */
    int64_t *added; /* (T, O) residuals that results are added to, or null: */
    int64_t *sums;  /* (T, O) the bare sums of products */
} Linear;

INLINE void finish(const Linear *of, int64_t row, int64_t n, int64_t sum) {
    const Matrix *m = of->matrix;
    if (of->sums) {
        of->sums[row * m->outputs + n] = sum;
        return;
    }
    int64_t v = rsh(sum * m->multiplier[n], of->shift[row]) + (m->bias ? m->bias[n] : 0), at = row * m->outputs + n;
    if (of->put)
        of->put[at] = (int32_t)sat(v, of->most);
    else
        of->added[at] = sat(of->added[at] + v, RESIDUAL_MAX);
}

#if defined(__AVX2__)
INLINE __m256i saturated(__m256i v, __m256i most) {
    __m256i least = _mm256_sub_epi64(_mm256_setzero_si256(), most);
    v = _mm256_blendv_epi8(v, most, _mm256_cmpgt_epi64(v, most));
    return _mm256_blendv_epi8(v, least, _mm256_cmpgt_epi64(least, v));
}

/* `finish` of four rows at once. Without AVX-512 there is no 64-bit product and no arithmetic shift: a product of halves,
 * and a shift of what is made positive by flipping all bits. */
INLINE void finish_four(const Linear *of, int64_t row, int64_t n, __m256i v) {
    const Matrix *m = of->matrix;
    __m256i multiplier = _mm256_set1_epi64x(m->multiplier[n]);
    __m256i high = _mm256_mul_epi32(_mm256_srli_epi64(v, 32), multiplier);
    v = _mm256_add_epi64(_mm256_mul_epu32(v, multiplier), _mm256_slli_epi64(high, 32));
    __m256i shift = _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)(of->shift + row)));
    v = _mm256_add_epi64(v, _mm256_srli_epi64(_mm256_sllv_epi64(_mm256_set1_epi64x(1), shift), 1));
    __m256i sign = _mm256_cmpgt_epi64(_mm256_setzero_si256(), v);
    v = _mm256_xor_si256(_mm256_srlv_epi64(_mm256_xor_si256(v, sign), shift), sign);
    if (m->bias) v = _mm256_add_epi64(v, _mm256_set1_epi64x(m->bias[n]));
    int64_t four[4], next = m->outputs;
    if (of->put) {
        int32_t *put = of->put + row * next + n;
        _mm256_storeu_si256((__m256i *)four, saturated(v, _mm256_set1_epi64x(of->most)));
        for (int r = 0; r < 4; r++) put[r * next] = (int32_t)four[r];
    } else {
        int64_t *added = of->added + row * next + n;
        v = _mm256_add_epi64(v, _mm256_set_epi64x(added[3 * next], added[2 * next], added[next], added[0]));
        _mm256_storeu_si256((__m256i *)four, saturated(v, _mm256_set1_epi64x(RESIDUAL_MAX)));
        for (int r = 0; r < 4; r++) added[r * next] = four[r];
    }
}
#endif

enum { ALONE = 4, ALONE_BLOCK = 128 * STEP > BLOCK ? 128 * STEP : BLOCK };

/* The products of one row of activations and one of weights, which lie in memory one after the other and are read so: a
 * CPU reads several rows side by side at a third of the speed. ALONE lanes run side by side; their sum is below 2^31. */
INLINE int64_t alone(const int16_t *q, const int8_t *w, int64_t inputs) {
    int64_t sum = 0, k = 0;
    while (inputs - k >= STEP) {
        int64_t stop = smaller(inputs, k + ALONE_BLOCK);
        Lanes lanes[ALONE];
#pragma clang loop unroll(full)
        for (int i = 0; i < ALONE; i++) lanes[i] = zero();
        for (; k + ALONE * STEP <= stop; k += ALONE * STEP)
#pragma clang loop unroll(full)
            for (int i = 0; i < ALONE; i++) lanes[i] = more(lanes[i], widen(w + k + i * STEP), load(q + k + i * STEP));
        for (; k + STEP <= stop; k += STEP) lanes[0] = more(lanes[0], widen(w + k), load(q + k));
        sum += total(plus(plus(lanes[0], lanes[1]), plus(lanes[2], lanes[3])));
        if (stop - k < STEP) break;
    }
    for (; k < inputs; k++) sum += (int32_t)q[k] * w[k];
    return sum;
}

/* `outs` outputs of `rows` rows: their weights go from memory to where they are used. */
INLINE void few_rows(const Linear *of, int64_t row, int64_t n, const int rows, const int outs) {
    int64_t sums[24] = {0}, inputs = of->matrix->inputs;
    const int16_t *q = of->q + row * inputs;
    const int8_t *w = of->matrix->weight + n * inputs, *ahead = w + outs * inputs;
    for (int64_t k = 0; k < inputs; k += BLOCK) {
        tile(q + k, inputs, w + k, inputs, smaller(BLOCK, inputs - k), rows, outs, 0, row ? 0 : ahead, sums);
        ahead += outs * BLOCK;
    }
    for (int o = 0; o < outs; o++) {
        int r = 0;
#if defined(__AVX2__)
        for (; r + 4 <= rows && !of->sums; r += 4)
            finish_four(of, row + r, n + o, _mm256_loadu_si256((const __m256i *)(sums + o * rows + r)));
#endif
        for (; r < rows; r++) finish(of, row + r, n + o, sums[o * rows + r]);
    }
}

#if defined(__AVX2__)
enum { MANY = 64 };

/* OUTS outputs of up to MANY rows, a multiple of ROWS: their weights are widened once. */
INLINE void many_rows(const Linear *of, int64_t row, int64_t rows, int64_t n) {
    int64_t sums[MANY / ROWS][OUTS][ROWS] = {0}, inputs = of->matrix->inputs;
    const int8_t *ahead = row ? 0 : of->matrix->weight + (n + OUTS) * inputs;
    _Alignas(64) int16_t wide[OUTS * BLOCK];
    for (int64_t k = 0; k < inputs; k += BLOCK) {
        int64_t count = smaller(BLOCK, inputs - k);
        for (int o = 0; o < OUTS; o++) {
            const int8_t *w = of->matrix->weight + (n + o) * inputs + k;
            for (int64_t i = 0; i < count; i++) wide[o * BLOCK + i] = w[i];
        }
        for (int64_t r = 0; r < rows; r += ROWS)
            tile(of->q + (row + r) * inputs + k, inputs, wide, BLOCK, count, ROWS, OUTS, 1, r ? 0 : ahead, sums[r / ROWS][0]);
        if (ahead) ahead += OUTS * count;
    }
    int64_t r = 0;
    for (; r + 4 <= rows && !of->sums; r += 4)
        for (int o = 0; o < OUTS; o++) {
            const int64_t *low = sums[r / ROWS][o], *high = sums[(r + 2) / ROWS][o] + 2 % ROWS;
            finish_four(of, row + r, n + o, _mm256_set_epi64x(high[1], high[0], low[1], low[0]));
        }
    for (; r < rows; r++)
        for (int o = 0; o < OUTS; o++) finish(of, row + r, n + o, sums[r / ROWS][o][r % ROWS]);
}
#endif

static void linear_part(const void *work, int thread, int64_t start, int64_t stop) {
    const Linear *of = work;
    int64_t n = start, rows = of->rows, inputs = of->matrix->inputs;
    (void)thread;
    if (rows == 1)
        for (; n < stop; n++) finish(of, 0, n, alone(of->q, of->matrix->weight + n * inputs, inputs));
#if defined(__AVX2__)
    if (rows >= FEW) {
        int64_t tiled = rows / ROWS * ROWS;
        for (; n + OUTS <= stop; n += OUTS) {
            for (int64_t row = 0; row < tiled; row += MANY) many_rows(of, row, smaller(MANY, tiled - row), n);
            for (int64_t row = tiled; row < rows; row++) few_rows(of, row, n, 1, OUTS);
        }
    }
#endif
    for (; n + FEW_OUTS <= stop; n += FEW_OUTS) {
        int64_t row = 0;
        for (; row + FEW_ROWS <= rows; row += FEW_ROWS) few_rows(of, row, n, FEW_ROWS, FEW_OUTS);
        for (; row + 2 <= rows; row += 2) few_rows(of, row, n, 2, FEW_OUTS);
        for (; row < rows; row++) few_rows(of, row, n, 1, FEW_OUTS);
    }
    for (; n < stop; n++)
        for (int64_t row = 0; row < rows; row++) few_rows(of, row, n, 1, 1);
}

/* linear(M, y) of rows shortened to q and e, to `put` or `added`. e becomes the shift. */
static void linear(const Matrix *m, const int16_t *q, int32_t *e, int64_t rows, int fractions, int32_t *put,
                   int64_t most, int64_t *added) {
    for (int64_t row = 0; row < rows; row++) e[row] = (int32_t)(m->exponent + fractions - e[row]);
    Linear of = {m, q, e, rows, put, most, added, 0};
    parallel(linear_part, &of, m->outputs);
}
