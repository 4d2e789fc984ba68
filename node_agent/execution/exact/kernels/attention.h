/* The past, and scores, weights, shares and mixtures of SPEC.md.
 *
 * The past of a text lies in pages of PAGE positions; a page has a block for each layer and each key/value head. Texts
 * with the same beginning may share pages, which nobody writes to once they are full. A block keeps numbers in their own
 * widths, high eight bits apart from the low ones (two of a key, one of a value), side by side as the vectors read them:
 * two dimensions of sixteen keys, one dimension of two values. No two positions share a byte, so threads that write
 * other positions do not meet. */
#pragma once
#include "products.h"

enum { PAGE = 16, KEY_LOW = 2, VALUE_LOW = 1, PAIRS = 8, CHUNK = 16, QUERIES = 16 };

typedef struct {
    int8_t *keys;                             /* (D / 2, PAGE, 2) */
    uint16_t *key_lows;                       /* (D / 16, PAGE, 2), each of PAIRS pairs of dimensions */
    int8_t *values;                           /* (PAGE / 2, D, 2) */
    uint8_t *value_lows;                      /* (PAGE / 2, D / 128, CHUNK, 2), each of PAIRS chunks of dimensions */
    uint8_t *key_exponents, *value_exponents; /* (PAGE,) */
} Block;

typedef struct {
    uint8_t *const *pages; /* enough for all positions */
    int64_t used, count;   /* positions before, and new ones */
} Text;

INLINE int64_t key_low_rows(int64_t d) { return (d + 2 * PAIRS - 1) / (2 * PAIRS); }
INLINE int64_t value_low_sets(int64_t d) { return (d + CHUNK * PAIRS - 1) / (CHUNK * PAIRS); }

/* The size of a block; a page is layers * K of them. */
EXPORT int64_t block_bytes(int64_t d) {
    return 2 * PAGE * d + 4 * PAGE * key_low_rows(d) + PAGE * CHUNK * value_low_sets(d) + 2 * PAGE;
}

/* The block of a page with this index, counted over layers and heads. */
INLINE Block block_of(uint8_t *page, int64_t index, int64_t d) {
    Block b;
    uint8_t *at = page + index * block_bytes(d);
    b.key_lows = (uint16_t *)at;
    b.keys = (int8_t *)(at += 4 * PAGE * key_low_rows(d));
    b.values = (int8_t *)(at += PAGE * d);
    b.value_lows = at += PAGE * d;
    b.key_exponents = at += PAGE * CHUNK * value_low_sets(d);
    b.value_exponents = at + PAGE;
    return b;
}

static void put_key(const Block *b, int64_t place, const int16_t *key, int64_t d, int exponent) {
    b->key_exponents[place] = (uint8_t)exponent;
    for (int64_t i = 0; i < d; i++) {
        int64_t pair = i / 2, lane = 2 * place + i % 2;
        int bit = (int)(pair % PAIRS) * KEY_LOW;
        uint16_t *low = b->key_lows + pair / PAIRS * 2 * PAGE + lane;
        b->keys[pair * 2 * PAGE + lane] = (int8_t)(key[i] >> KEY_LOW);
        *low = (uint16_t)((*low & ~(3 << bit)) | ((key[i] & 3) << bit));
    }
}

static void put_value(const Block *b, int64_t place, const int16_t *value, int64_t d, int exponent) {
    b->value_exponents[place] = (uint8_t)exponent;
    int8_t *high = b->values + place / 2 * 2 * d + place % 2;
    uint8_t *lows = b->value_lows + place / 2 * 2 * CHUNK * value_low_sets(d) + place % 2;
    for (int64_t i = 0; i < d; i++) {
        int64_t chunk = i / CHUNK;
        int bit = (int)(chunk % PAIRS);
        uint8_t *low = lows + chunk / PAIRS * 2 * CHUNK + 2 * (i % CHUNK);
        high[2 * i] = (int8_t)(value[i] >> VALUE_LOW);
        *low = (uint8_t)((*low & ~(1 << bit)) | ((value[i] & 1) << bit));
    }
}

/* All keys of a block: (D / 2, PAGE, 2). */
static void unpack_keys(const Block *b, int64_t d, int16_t *keys) {
    for (int64_t pair = 0; pair < d / 2; pair++) {
        const int8_t *high = b->keys + pair * 2 * PAGE;
        const uint16_t *low = b->key_lows + pair / PAIRS * 2 * PAGE;
        int bit = (int)(pair % PAIRS) * KEY_LOW;
        for (int i = 0; i < 2 * PAGE; i++)
            keys[pair * 2 * PAGE + i] = (int16_t)(high[i] * (1 << KEY_LOW) + (low[i] >> bit & 3));
    }
}

/* All values of a block: (PAGE / 2, D, 2). */
static void unpack_values(const Block *b, int64_t d, int16_t *values) {
    for (int64_t row = 0; row < PAGE / 2; row++)
        for (int64_t start = 0; start < 2 * d; start += 2 * CHUNK) {
            int64_t chunk = start / (2 * CHUNK), count = smaller(2 * CHUNK, 2 * d - start), at = row * 2 * d + start;
            const uint8_t *low = b->value_lows + (row * value_low_sets(d) + chunk / PAIRS) * 2 * CHUNK;
            int bit = (int)(chunk % PAIRS);
            if (count == 2 * CHUNK) /* a constant */
                for (int i = 0; i < 2 * CHUNK; i++)
                    values[at + i] = (int16_t)(b->values[at + i] * (1 << VALUE_LOW) + (low[i] >> bit & 1));
            else
                for (int i = 0; i < count; i++)
                    values[at + i] = (int16_t)(b->values[at + i] * (1 << VALUE_LOW) + (low[i] >> bit & 1));
        }
}

/* sums[i] += pairs[2i] times[0] + pairs[2i + 1] times[1], in lanes of 32 bits. */
INLINE void add_pairs(int32_t *sums, const int16_t *pairs, const int16_t *times, const int64_t n) {
    int64_t i = 0;
#if defined(__AVX2__)
    __m256i both = _mm256_set1_epi32((int32_t)((uint32_t)(uint16_t)times[0] | (uint32_t)(uint16_t)times[1] << 16));
    for (; i + 8 <= n; i += 8) {
        __m256i *to = (__m256i *)(sums + i);
        __m256i products = _mm256_madd_epi16(_mm256_loadu_si256((const __m256i *)(pairs + 2 * i)), both);
        _mm256_storeu_si256(to, _mm256_add_epi32(_mm256_loadu_si256(to), products));
    }
#endif
    for (; i < n; i++) sums[i] += pairs[2 * i] * times[0] + pairs[2 * i + 1] * times[1];
}

/* Products of a query with the keys of a page: q . k for each of PAGE positions. */
INLINE void dots_of_page(const int16_t *q, const int16_t *keys, int64_t d, int32_t *dots) {
    int32_t sums[PAGE] = {0};
    for (int64_t pair = 0; pair < d / 2; pair++) add_pairs(sums, keys + pair * 2 * PAGE, q + 2 * pair, PAGE);
    for (int i = 0; i < PAGE; i++) dots[i] = sums[i];
}

/* One query's weights, over positions `first` to `stop` - 1 of arrays that begin at some page. */
typedef struct {
    const int32_t *exp2;
    const uint8_t *key_exponents, *value_exponents;
    int32_t *row; /* dots, then E, then shares */
    int64_t first, stop;
    int exponent; /* of the query */
} Weighing;

enum { SCORE_SHIFT = 2 * HEAD_FRACTION - SCORE_FRACTION, NARROW = 5 };

/* rsh(dot << e, SCORE_SHIFT), in 32 bits for e <= SCORE_SHIFT + NARROW: a dot has 25 bits, with sign. */
INLINE int32_t narrow_score(int32_t dot, int e) {
    int left = e > SCORE_SHIFT ? e - SCORE_SHIFT : 0, right = e < SCORE_SHIFT ? SCORE_SHIFT - e : 0;
    return ((int32_t)((uint32_t)dot << left) + ((1 << right) >> 1)) >> right;
}
INLINE int64_t wide_score(int32_t dot, int e) { return rsh(dot * ((int64_t)1 << e), SCORE_SHIFT); }

/* Dots become E; returns their sum. */
static int64_t narrow_weights(const Weighing *w) {
    int32_t best = INT32_MIN;
    for (int64_t j = w->first; j < w->stop; j++) {
        int32_t score = narrow_score(w->row[j], w->exponent + w->key_exponents[j]);
        w->row[j] = score;
        best = score > best ? score : best;
    }
    int64_t sum = 0;
    for (int64_t j = w->first; j < w->stop; j++) {
        int32_t z = best - w->row[j];
        z = z < SCORE_DISTANCE_MAX ? z : SCORE_DISTANCE_MAX;
        w->row[j] = w->exp2[z & ((1 << SCORE_FRACTION) - 1)] >> (z >> SCORE_FRACTION);
        sum += w->row[j];
    }
    return sum;
}

static int64_t wide_weights(const Weighing *w) {
    int64_t best = INT64_MIN, sum = 0;
    for (int64_t j = w->first; j < w->stop; j++)
        best = larger(best, wide_score(w->row[j], w->exponent + w->key_exponents[j]));
    for (int64_t j = w->first; j < w->stop; j++) {
        int64_t z = smaller(best - wide_score(w->row[j], w->exponent + w->key_exponents[j]), SCORE_DISTANCE_MAX);
        w->row[j] = w->exp2[z & ((1 << SCORE_FRACTION) - 1)] >> (z >> SCORE_FRACTION);
        sum += w->row[j];
    }
    return sum;
}

typedef struct {
    int64_t scale; /* m of the mixture */
    int shift;
} Mixing;

/* Dots become shares. */
static Mixing weigh(const Weighing *w, int most_exponent) {
    int narrow = w->exponent + most_exponent <= SCORE_SHIFT + NARROW;
    int64_t exp_sum = narrow ? narrow_weights(w) : wide_weights(w), weight_sum = 0, share_sum = 0;
    for (int64_t j = w->first; j < w->stop; j++) weight_sum += (int64_t)w->row[j] << w->value_exponents[j];
    int drop = (int)larger(0, bits((uint64_t)weight_sum) - WEIGHT_SUM_BITS);
    int64_t short_sum = weight_sum >> drop, reciprocal = ((int64_t)1 << 61) / short_sum;
    for (int64_t j = w->first; j < w->stop; j++) {
        int64_t weight = (int64_t)w->row[j] << w->value_exponents[j] >> drop;
        w->row[j] = (int32_t)((weight * reciprocal) >> (61 - PROBABILITY_BITS));
        share_sum += w->row[j];
    }
    int64_t ratio = (short_sum * (((int64_t)1 << 54) / exp_sum)) >> 8;
    return (Mixing){ratio / larger(1, share_sum), 46 + HEAD_FRACTION - MIXED_FRACTION - drop};
}

/* sums[i] += sum_j share_j v_ji over the positions of a page. A share of more than 15 bits, as one or two may be, is
 * added in two parts. */
static void mix_page(const int32_t *shares, const int16_t *values, int64_t d, int32_t *sums) {
    for (int64_t row = 0; row < PAGE / 2; row++) {
        const int16_t *pairs = values + row * 2 * d;
        int32_t even = shares[2 * row], odd = shares[2 * row + 1];
        while (even | odd) {
            int16_t times[2] = {(int16_t)(even < INT16_MAX ? even : INT16_MAX), (int16_t)(odd < INT16_MAX ? odd : INT16_MAX)};
            add_pairs(sums, pairs, times, d);
            even -= times[0];
            odd -= times[1];
        }
    }
}

/* Queries of one key/value head that read the same past. */
typedef struct {
    const int32_t *exp2;
    uint8_t *const *pages;
    int64_t block, d; /* the block's index in a page, and D */
    int64_t count;    /* <= QUERIES */
    const int16_t *query[QUERIES];
    int exponent[QUERIES];
    int64_t first[QUERIES], stop[QUERIES]; /* positions that each sees */
    int64_t *out[QUERIES];                 /* (D,) mixtures with 20 fraction bits */
} Asking;

/* Memory for it: rows of `size` >= all positions from the first page on, rounded up to pages. */
typedef struct {
    int32_t *rows;      /* (QUERIES, size) */
    uint8_t *exponents; /* (2, size) */
    int64_t size;
} Desk;

static void attend(const Asking *a, const Desk *desk) {
    int64_t first = a->first[0], stop = 0;
    for (int64_t n = 0; n < a->count; n++) {
        first = smaller(first, a->first[n]);
        stop = larger(stop, a->stop[n]);
    }
    int64_t begin = first / PAGE, end = (stop + PAGE - 1) / PAGE, base = begin * PAGE;
    uint8_t *key_exponents = desk->exponents, *value_exponents = desk->exponents + desk->size;
    int16_t unpacked[PAGE * HEAD_DIM_MAX];
    int32_t sums[QUERIES][HEAD_DIM_MAX] = {{0}};
    int most = 0;
    for (int64_t page = begin; page < end; page++) {
        Block b = block_of(a->pages[page], a->block, a->d);
        int64_t at = page * PAGE - base, count = smaller(PAGE, stop - page * PAGE);
        unpack_keys(&b, a->d, unpacked);
        for (int64_t n = 0; n < a->count; n++) dots_of_page(a->query[n], unpacked, a->d, desk->rows + n * desk->size + at);
        for (int64_t j = 0; j < count; j++) {
            key_exponents[at + j] = b.key_exponents[j];
            value_exponents[at + j] = b.value_exponents[j];
            most = most > b.key_exponents[j] ? most : b.key_exponents[j];
        }
    }
    Mixing mixing[QUERIES];
    for (int64_t n = 0; n < a->count; n++) {
        int32_t *row = desk->rows + n * desk->size;
        Weighing w = {a->exp2, key_exponents, value_exponents, row, a->first[n] - base, a->stop[n] - base, a->exponent[n]};
        mixing[n] = weigh(&w, most);
        for (int64_t j = 0; j < w.first; j++) row[j] = 0;
        for (int64_t j = w.stop; j < end * PAGE - base; j++) row[j] = 0;
    }
    for (int64_t page = begin; page < end; page++) {
        Block b = block_of(a->pages[page], a->block, a->d);
        unpack_values(&b, a->d, unpacked);
        for (int64_t n = 0; n < a->count; n++) mix_page(desk->rows + n * desk->size + page * PAGE - base, unpacked, a->d, sums[n]);
    }
    for (int64_t n = 0; n < a->count; n++)
        for (int64_t i = 0; i < a->d; i++) a->out[n][i] = rsh(sums[n][i] * mixing[n].scale, mixing[n].shift);
}
