/* SPEC.md and SPEC_ENCODER.md in C: what `reference.py` and `encoder_reference.py` compute, fast, on a CPU.
 *
 * One source, compiled once for each instruction set (`build_kernels.py`); `__init__.py` loads what the host can run.
 * All arithmetic is on integers, and no sum can overflow within the bounds of SPEC.md, so instruction sets, threads and
 * tiles change nothing but speed. The one float operation, a square root, seeds an integer root that is then corrected.
 *
 * No header of a C library is read and none is linked: the functions of POSIX threads and semaphores that are used below, and the
 * memory functions that a compiler may call, are those of the process that loads this.
 *
 * Names: T rows (new positions of all texts), C width, F inner width, H query heads, K key/value heads, D head width.
 */
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

/* ---- the words of SPEC.md ---- */

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

/* ---- threads ---- */

typedef struct {
    int64_t opaque[8]; /* at least as large as any Linux's sem_t */
} Semaphore;
extern int pthread_create(void **thread, const void *attributes, void *(*run)(void *), void *of);
extern int sem_init(Semaphore *semaphore, int shared, unsigned value);
extern int sem_wait(Semaphore *semaphore);
extern int sem_post(Semaphore *semaphore);
extern int sched_yield(void);

enum { THREADS_MAX = 64, SPINS = 4000 };

/* Does items start..stop-1 of some work; `thread` counts from 0. */
typedef void (*Work)(const void *of, int thread, int64_t start, int64_t stop);

typedef struct {
    int threads;     /* that share the next piece of work, the caller's among them */
    int started;     /* that there are */
    uint64_t number; /* of the piece of work, counted up for each, times 256, plus the threads that share it */
    int left;        /* of these, those that have not done their part */
    Work work;
    const void *of;
    int64_t items;
    struct {
        int asleep; /* whether whoever takes it back owes a post */
        Semaphore wake;
    } helper[THREADS_MAX];
} Pool;

static Pool pool = {.threads = 1, .started = 1};

INLINE void pause_cpu(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

INLINE int taken_back(int thread) { return __atomic_exchange_n(&pool.helper[thread].asleep, 0, __ATOMIC_SEQ_CST); }

static void do_part(int thread, int64_t threads) {
    int64_t start = pool.items * thread / threads, stop = pool.items * (thread + 1) / threads;
    if (start < stop) pool.work(pool.of, thread, start, stop);
}

/* Waits for a piece of work after `done`: a while busily, since pieces follow each other closely, then asleep. */
static uint64_t await_work(int thread, uint64_t done) {
    for (int spin = 0; spin < SPINS; spin++) {
        uint64_t number = __atomic_load_n(&pool.number, __ATOMIC_ACQUIRE);
        if (number != done) return number;
        pause_cpu();
    }
    /* A post may be late: its piece is done already, by a helper that was busy and now sleeps. So it only wakes. */
    for (;;) {
        uint64_t number = __atomic_load_n(&pool.number, __ATOMIC_ACQUIRE);
        if (number != done) return number;
        __atomic_store_n(&pool.helper[thread].asleep, 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&pool.number, __ATOMIC_SEQ_CST) != done && taken_back(thread)) continue;
        while (sem_wait(&pool.helper[thread].wake) != 0) { /* a signal */
        }
    }
}

static void *serve(void *of) {
    int thread = (int)(intptr_t)of;
    uint64_t done = 0;
    for (;;) {
        done = await_work(thread, done);
        int threads = (int)(done & 255);
        if (thread >= threads) continue; /* others share it, and nobody waits for this one */
        do_part(thread, threads);
        __atomic_sub_fetch(&pool.left, 1, __ATOMIC_RELEASE);
    }
    return 0;
}

/* Does all items, on all threads. Callers must not overlap. */
static void parallel(Work work, const void *of, int64_t items) {
    int threads = pool.threads;
    if (threads == 1 || items == 1) {
        work(of, 0, 0, items);
        return;
    }
    pool.work = work;
    pool.of = of;
    pool.items = items;
    __atomic_store_n(&pool.left, threads - 1, __ATOMIC_RELAXED);
    __atomic_store_n(&pool.number, ((pool.number >> 8) + 1) << 8 | (uint64_t)threads, __ATOMIC_SEQ_CST);
    for (int thread = 1; thread < threads; thread++)
        if (taken_back(thread)) sem_post(&pool.helper[thread].wake);
    do_part(0, threads);
    for (int spin = 0; __atomic_load_n(&pool.left, __ATOMIC_ACQUIRE); spin++)
        if (spin < SPINS)
            pause_cpu();
        else
            sched_yield(); /* a helper may wait for this very core */
}

/* Computes with so many threads from now on, the caller's among them. Returns how many it has. */
EXPORT int64_t use_threads(int64_t wanted) {
#if defined(__linux__)
    void *handle;
    for (; pool.started < smaller(wanted, THREADS_MAX); pool.started++) {
        sem_init(&pool.helper[pool.started].wake, 0, 0);
        if (pthread_create(&handle, 0, serve, (void *)(intptr_t)pool.started) != 0) break;
    }
    pool.threads = (int)larger(1, smaller(wanted, pool.started));
#else
    (void)wanted; /* no unnamed semaphores */
#endif
    return pool.threads;
}

/* ---- products ---- */

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
enum { STEP = 32, BLOCK = 2048, ROWS = 4, OUTS = 6 };
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
#elif defined(__AVX2__)
typedef __m256i Lanes;
enum { STEP = 16, BLOCK = 2048, ROWS = 4, OUTS = 3 };
INLINE Lanes zero(void) { return _mm256_setzero_si256(); }
INLINE Lanes load(const int16_t *q) { return _mm256_loadu_si256((const __m256i *)q); }
INLINE Lanes widen(const int8_t *w) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)w)); }
INLINE Lanes more(Lanes sum, Lanes w, Lanes q) { return _mm256_add_epi32(sum, _mm256_madd_epi16(w, q)); }
INLINE __m256i half(Lanes sum) { return sum; }
#else
/* Left to the compiler's vectors; one lane takes one product a step. */
typedef int32_t Lanes;
enum { STEP = 1, BLOCK = 1024, ROWS = 1, OUTS = 4 };
INLINE Lanes zero(void) { return 0; }
INLINE Lanes load(const int16_t *q) { return *q; }
INLINE Lanes widen(const int8_t *w) { return *w; }
INLINE Lanes more(Lanes sum, Lanes w, Lanes q) { return sum + w * q; }
#endif

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

/* sums[o][r] of `rows` rows of (., inputs) activations and `outs` rows of weights; both are constants where it is used,
 * so that all lanes stay in registers. */
INLINE void tile(const int16_t *q, const int8_t *w, int64_t inputs, const int rows, const int outs, int64_t *sums) {
    for (int i = 0; i < rows * outs; i++) sums[i] = 0;
    for (int64_t start = 0; start < inputs; start += BLOCK) {
        int64_t stop = smaller(start + BLOCK, inputs), k = start;
        Lanes lanes[rows * outs];
#pragma clang loop unroll(full)
        for (int i = 0; i < rows * outs; i++) lanes[i] = zero();
        for (; k + STEP <= stop; k += STEP) {
#pragma clang loop unroll(full)
            for (int o = 0; o < outs; o++) {
                Lanes weight = widen(w + o * inputs + k);
#pragma clang loop unroll(full)
                for (int r = 0; r < rows; r++) lanes[o * rows + r] = more(lanes[o * rows + r], weight, load(q + r * inputs + k));
            }
        }
        add_totals(lanes, rows * outs, sums);
        for (; k < stop; k++)
            for (int i = 0; i < rows * outs; i++)
                sums[i] += (int64_t)q[i % rows * inputs + k] * w[i / rows * inputs + k];
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
/* `finish` of four rows at once, to `put`. Without AVX-512 there is no 64-bit product and no arithmetic shift: a product
 * of halves, and a shift of what is made positive by flipping all bits. */
INLINE void finish_four(const Linear *of, int64_t row, int64_t n, const int64_t *sums) {
    const Matrix *m = of->matrix;
    const __m256i zeros = _mm256_setzero_si256(), most = _mm256_set1_epi64x(of->most);
    __m256i v = _mm256_loadu_si256((const __m256i *)sums), multiplier = _mm256_set1_epi64x(m->multiplier[n]);
    __m256i high = _mm256_mul_epi32(_mm256_srli_epi64(v, 32), multiplier);
    v = _mm256_add_epi64(_mm256_mul_epu32(v, multiplier), _mm256_slli_epi64(high, 32));
    __m256i shift = _mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)(of->shift + row)));
    v = _mm256_add_epi64(v, _mm256_srli_epi64(_mm256_sllv_epi64(_mm256_set1_epi64x(1), shift), 1));
    __m256i sign = _mm256_cmpgt_epi64(zeros, v);
    v = _mm256_xor_si256(_mm256_srlv_epi64(_mm256_xor_si256(v, sign), shift), sign);
    if (m->bias) v = _mm256_add_epi64(v, _mm256_set1_epi64x(m->bias[n]));
    v = _mm256_blendv_epi8(v, most, _mm256_cmpgt_epi64(v, most));
    __m256i least = _mm256_sub_epi64(zeros, most);
    v = _mm256_blendv_epi8(v, least, _mm256_cmpgt_epi64(least, v));
    int64_t four[4], at = row * m->outputs + n;
    _mm256_storeu_si256((__m256i *)four, v);
    for (int r = 0; r < 4; r++) of->put[at + r * m->outputs] = (int32_t)four[r];
}
#endif

INLINE void finished_tile(const Linear *of, int64_t row, int64_t n, const int rows, const int outs) {
    int64_t sums[ROWS * 8], inputs = of->matrix->inputs;
    tile(of->q + row * inputs, of->matrix->weight + n * inputs, inputs, rows, outs, sums);
#if defined(__AVX2__)
    if (rows == 4 && of->put) {
        for (int o = 0; o < outs; o++) finish_four(of, row, n + o, sums + 4 * o);
        return;
    }
#endif
    for (int i = 0; i < rows * outs; i++) finish(of, row + i % rows, n + i / rows, sums[i]);
}

/* `outs` outputs of all rows: their weights are read from memory once. */
INLINE void all_rows(const Linear *of, int64_t n, const int outs) {
    int64_t row = 0;
    for (; row + ROWS <= of->rows; row += ROWS) finished_tile(of, row, n, ROWS, outs);
    for (; row < of->rows; row++) finished_tile(of, row, n, 1, outs);
}

static void linear_part(const void *work, int thread, int64_t start, int64_t stop) {
    const Linear *of = work;
    (void)thread;
    int64_t n = start;
    if (of->rows < ROWS)
        for (; n + 8 <= stop; n += 8) all_rows(of, n, 8);
    for (; n + OUTS <= stop; n += OUTS) all_rows(of, n, OUTS);
    for (; n < stop; n++) all_rows(of, n, 1);
}

/* linear(M, y) of rows shortened to q and e, to `put` or `added`. e becomes the shift. */
static void linear(const Matrix *m, const int16_t *q, int32_t *e, int64_t rows, int fractions, int32_t *put,
                   int64_t most, int64_t *added) {
    for (int64_t row = 0; row < rows; row++) e[row] = (int32_t)(m->exponent + fractions - e[row]);
    Linear of = {m, q, e, rows, put, most, added, 0};
    parallel(linear_part, &of, m->outputs);
}

/* ---- attention ---- */

/* The past of one text in one layer, and what is new of it. */
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

/* The same of one query and four keys that lie one after the other. */
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

/* sums[i] = sum_j share_j v_ji of some columns; `count` is a constant where it is used, so that they stay in registers. */
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

/* ---- the models ---- */

typedef struct {
    int64_t width, inner, heads, kv_heads, head_dim, query_max, key_max, epsilon;
    const int32_t *exp2;      /* (4096,) */
    const int32_t *curve;     /* (32768,) sigmoid, or the normal distribution */
    const int16_t *cos, *sin; /* (P, D / 2), or null: an encoder turns nothing */
} Sizes;

/* Room for T rows, made by the caller. */
typedef struct {
    int16_t *q;           /* (T, max(C, H D, F)) what a matrix reads */
    int32_t *e;           /* (T,) its exponents */
    int32_t *wide;        /* (T, max((H + 2K) D, 2F)) what a matrix gives */
    int16_t *query;       /* (T, H D) */
    uint8_t *query_e;     /* (T, H) */
    int64_t *mixed;       /* (T, H D) */
    int64_t *row;         /* (threads, max(C, F, D)) */
    int64_t *weight;      /* (threads, most positions of a text) */
    int64_t row_size, weight_size;
} Room;

typedef struct {
    const Sizes *sizes;
    const Text *texts;
    int64_t count, rows; /* texts, and T */
    int64_t *x;          /* (T, C) residuals */
    const Room *room;
    const int32_t *gain, *bias; /* of the norm at hand */
} Step;

INLINE void copy(int64_t *to, const int64_t *from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = from[i];
}

/* The text of a row, and the row's place among its new positions. */
static const Text *text_of(const Step *s, int64_t row, int64_t *place) {
    const Text *text = s->texts;
    while (row >= text->count) row -= (text++)->count;
    *place = row;
    return text;
}

static void shorten_normed(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    int64_t c = s->sizes->width, *row = s->room->row + thread * s->room->row_size;
    for (int64_t t = start; t < stop; t++) {
        copy(row, s->x + t * c, c);
        norm(row, c, s->sizes->epsilon, s->gain);
        s->room->e[t] = shorten(row, c, ACTIVATION_MAX, s->room->q + t * c);
    }
}

static void shorten_states(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    int64_t c = s->sizes->width;
    (void)thread;
    for (int64_t t = start; t < stop; t++)
        s->room->e[t] = shorten(s->x + t * c, c, ACTIVATION_MAX, s->room->q + t * c);
}

static void shorten_mixed(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    int64_t width = s->sizes->heads * s->sizes->head_dim;
    (void)thread;
    for (int64_t t = start; t < stop; t++)
        s->room->e[t] = shorten(s->room->mixed + t * width, width, ACTIVATION_MAX, s->room->q + t * width);
}

/* One head of one row, turned by the tables' row of its position, if there are any. */
static void turned(const Sizes *m, const int32_t *head, int64_t place, int64_t *out) {
    int64_t half = m->head_dim / 2;
    if (!m->cos) {
        for (int64_t i = 0; i < m->head_dim; i++) out[i] = head[i];
        return;
    }
    const int16_t *cosine = m->cos + place * half, *sine = m->sin + place * half;
    for (int64_t i = 0; i < half; i++) {
        int64_t u = head[i], w = head[i + half];
        out[i] = rsh(u * cosine[i] - w * sine[i], ROTARY_FRACTION);
        out[i + half] = rsh(w * cosine[i] + u * sine[i], ROTARY_FRACTION);
    }
}

/* Queries to the room, keys and values to the texts. */
static void split_heads(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    const Sizes *m = s->sizes;
    int64_t d = m->head_dim, heads = m->heads, kv = m->kv_heads, *row = s->room->row + thread * s->room->row_size;
    for (int64_t t = start; t < stop; t++) {
        int64_t place;
        const Text *text = text_of(s, t, &place);
        const int32_t *head = s->room->wide + t * (heads + 2 * kv) * d;
        place += text->used;
        for (int64_t h = 0; h < heads; h++, head += d) {
            turned(m, head, place, row);
            s->room->query_e[t * heads + h] = (uint8_t)shorten(row, d, m->query_max, s->room->query + (t * heads + h) * d);
        }
        for (int64_t k = 0; k < kv; k++, head += d) {
            int64_t at = k * text->positions + place;
            turned(m, head, place, row);
            text->key_exponents[at] = (uint8_t)shorten(row, d, m->key_max, text->keys + at * d);
        }
        for (int64_t k = 0; k < kv; k++, head += d) {
            int64_t at = k * text->positions + place;
            for (int64_t i = 0; i < d; i++) row[i] = head[i];
            text->value_exponents[at] = (uint8_t)shorten(row, d, (1 << (VALUE_BITS - 1)) - 1, text->values + at * d);
        }
    }
}

/* Items: all heads of the first row, of the second, ... A Llama's position sees those before it and itself. */
static void attend_heads(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    const Sizes *m = s->sizes;
    int64_t d = m->head_dim, group = m->heads / m->kv_heads;
    for (int64_t item = start; item < stop; item++) {
        int64_t place, head = item % m->heads;
        const Text *text = text_of(s, item / m->heads, &place);
        int64_t first = head / group * text->positions, seen = m->cos ? text->used + place + 1 : text->count;
        Past past = {m->exp2,
                     d,
                     text->keys + first * d,
                     text->values + first * d,
                     text->key_exponents + first,
                     text->value_exponents + first,
                     seen};
        attend(&past, s->room->query + item * d, s->room->query_e[item],
               s->room->weight + thread * s->room->weight_size, s->room->mixed + item * d);
    }
}

INLINE int64_t looked_up(const int32_t *table, int64_t v, int step_bits) {
    return table[smaller(larger(rsh(v, HEAD_FRACTION - step_bits), -TABLE_HALF), TABLE_HALF - 1) + TABLE_HALF];
}

static void gate(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    int64_t f = s->sizes->inner, *row = s->room->row + thread * s->room->row_size;
    for (int64_t t = start; t < stop; t++) {
        const int32_t *g = s->room->wide + t * 2 * f, *u = g + f;
        for (int64_t i = 0; i < f; i++)
            row[i] = rsh(g[i] * looked_up(s->sizes->curve, g[i], SIGMOID_STEP_BITS), HEAD_FRACTION) * u[i];
        s->room->e[t] = shorten(row, f, ACTIVATION_MAX, s->room->q + t * f);
    }
}

static void gelu(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    int64_t f = s->sizes->inner, *row = s->room->row + thread * s->room->row_size;
    for (int64_t t = start; t < stop; t++) {
        const int32_t *u = s->room->wide + t * f;
        for (int64_t i = 0; i < f; i++) row[i] = u[i] * looked_up(s->sizes->curve, u[i], NORMAL_STEP_BITS);
        s->room->e[t] = shorten(row, f, ACTIVATION_MAX, s->room->q + t * f);
    }
}

/* layer_norm(x, N), in place. */
static void layer_norm(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    int64_t c = s->sizes->width;
    (void)thread;
    for (int64_t t = start; t < stop; t++) {
        int64_t *x = s->x + t * c, sum = 0;
        for (int64_t i = 0; i < c; i++) sum += x[i];
        for (int64_t i = 0; i < c; i++) x[i] = c * x[i] - sum;
        norm(x, c, s->sizes->epsilon, s->gain);
        for (int64_t i = 0; i < c; i++)
            x[i] = sat(rsh(x[i], NORMED_FRACTION - RESIDUAL_FRACTION) + s->bias[i], STATE_MAX);
    }
}

/* Attention of all rows and its matrix, added to x. */
static void mix(const Step *s, const Matrix *attention_out) {
    parallel(split_heads, s, s->rows);
    parallel(attend_heads, s, s->rows * s->sizes->heads);
    parallel(shorten_mixed, s, s->rows);
    linear(attention_out, s->room->q, s->room->e, s->rows, MIXED_FRACTION - RESIDUAL_FRACTION, 0, 0, s->x);
}

typedef struct {
    Matrix qkv, attention_out, gate_up, down;
    const int32_t *attention_norm, *mlp_norm; /* (C,) */
} LlamaLayer;

/* One layer over the new positions of some texts: x is (T, C), their caches grow by what is new. */
EXPORT void llama_layer(const Sizes *sizes, const LlamaLayer *layer, const Text *texts, int64_t count, int64_t rows,
                        int64_t *x, const Room *room) {
    Step s = {sizes, texts, count, rows, x, room, layer->attention_norm, 0};
    parallel(shorten_normed, &s, rows);
    linear(&layer->qkv, room->q, room->e, rows, NORMED_FRACTION - HEAD_FRACTION, room->wide, HEAD_MAX, 0);
    mix(&s, &layer->attention_out);
    s.gain = layer->mlp_norm;
    parallel(shorten_normed, &s, rows);
    linear(&layer->gate_up, room->q, room->e, rows, NORMED_FRACTION - HEAD_FRACTION, room->wide, HEAD_MAX, 0);
    parallel(gate, &s, rows);
    linear(&layer->down, room->q, room->e, rows, GATED_FRACTION - RESIDUAL_FRACTION, 0, 0, x);
}

/* (T, C) residuals to (T, V) logits. */
EXPORT void llama_logits(const Sizes *sizes, const Matrix *head, const int32_t *final_norm, int64_t rows, int64_t *x,
                         const Room *room, int32_t *logits) {
    Step s = {sizes, 0, 0, rows, x, room, final_norm, 0};
    parallel(shorten_normed, &s, rows);
    linear(head, room->q, room->e, rows, NORMED_FRACTION - LOGIT_FRACTION, logits, LOGIT_MAX, 0);
}

typedef struct {
    Matrix qkv, attention_out, up, down;
    const int32_t *attention_gain, *attention_bias, *out_gain, *out_bias; /* (C,) */
} EncoderLayer;

/* The states after the embedding: x is (T, C), words and positions added. */
EXPORT void encoder_embedded(const Sizes *sizes, const int32_t *gain, const int32_t *bias, int64_t rows, int64_t *x) {
    Step s = {sizes, 0, 0, rows, x, 0, gain, bias};
    parallel(layer_norm, &s, rows);
}

/* One layer over all positions of some texts: x is (T, C) states before and after. */
EXPORT void encoder_layer(const Sizes *sizes, const EncoderLayer *layer, const Text *texts, int64_t count, int64_t rows,
                          int64_t *x, const Room *room) {
    Step s = {sizes, texts, count, rows, x, room, layer->attention_gain, layer->attention_bias};
    parallel(shorten_states, &s, rows);
    linear(&layer->qkv, room->q, room->e, rows, RESIDUAL_FRACTION - HEAD_FRACTION, room->wide, HEAD_MAX, 0);
    mix(&s, &layer->attention_out);
    parallel(layer_norm, &s, rows);
    parallel(shorten_states, &s, rows);
    linear(&layer->up, room->q, room->e, rows, RESIDUAL_FRACTION - HEAD_FRACTION, room->wide, HEAD_MAX, 0);
    parallel(gelu, &s, rows);
    linear(&layer->down, room->q, room->e, rows, GATED_FRACTION - RESIDUAL_FRACTION, 0, 0, x);
    s.gain = layer->out_gain;
    s.bias = layer->out_bias;
    parallel(layer_norm, &s, rows);
}

/* (T, I) activations times (O, I) weights, by the tiles that `linear` takes: what the self-test looks at. */
EXPORT void products(const int16_t *q, const int8_t *weight, int64_t rows, int64_t inputs, int64_t outputs,
                     int64_t *sums) {
    Matrix m = {weight, 0, 0, outputs, inputs, 0};
    Linear of = {&m, q, 0, rows, 0, 0, 0, sums};
    parallel(linear_part, &of, outputs);
}

EXPORT void square_roots(const int64_t *squares, int64_t count, int64_t *roots) {
    for (int64_t i = 0; i < count; i++) roots[i] = square_root(squares[i]);
}
