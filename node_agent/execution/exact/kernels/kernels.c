/* SPEC.md and SPEC_ENCODER.md in C: what `llama/reference.py` and `encoder/reference.py` compute.
 *
 * One source, compiled once for each instruction set (setup.py); `__init__.py` loads what the host can run.
 * All arithmetic is on integers, and no sum can overflow within the bounds of SPEC.md, so instruction sets, threads and
 * tiles change nothing but speed. The one float operation, a square root, seeds an integer root that is then corrected.
 *
 * It links no C library and reads none of its headers. The loading process provides the POSIX threads and semaphores
 * that threads.h declares, and the memory functions that a compiler may call.
 *
 * Names: T rows (new positions of all texts), C width, F inner width, H query heads, K key/value heads, D head width.
 */
#include "attention.h"
#include "keccak.h"

typedef struct {
    int64_t width, inner, heads, kv_heads, head_dim, query_max, key_max, epsilon;
    int64_t window, head_epsilon; /* 0 without a window, and without norms of heads */
    const int32_t *exp2;      /* (4096,) */
    const int32_t *curve;     /* (32768,) sigmoid, or the normal distribution */
    const int16_t *cos, *sin; /* (P, D / 2), or null in an encoder */
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
    int32_t *scores;      /* (threads, QUERIES, most positions of a text in whole pages) */
    uint8_t *exponents;   /* (threads, 2, the same) */
    int64_t row_size, positions;
} Room;

typedef struct {
    const Sizes *sizes;
    const Text *texts;
    int64_t layer, count, rows; /* the layer's index, texts, and T */
    int64_t *x;          /* (T, C) residuals */
    const Room *room;
    const int32_t *gain, *bias; /* of the norm at hand */
    const int32_t *query_gain, *key_gain; /* (D,) */
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

/* head_norm(h, g) of SPEC.md, in place; `row` has room for a head. */
static void head_norm(const Sizes *m, int32_t *head, const int32_t *gain, int64_t *row) {
    for (int64_t i = 0; i < m->head_dim; i++) row[i] = head[i];
    norm(row, m->head_dim, m->head_epsilon, gain);
    for (int64_t i = 0; i < m->head_dim; i++)
        head[i] = (int32_t)sat(rsh(row[i], NORMED_FRACTION - HEAD_FRACTION), HEAD_MAX);
}

/* Queries to the room, keys and values to the texts' pages. */
static void split_heads(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    const Sizes *m = s->sizes;
    int64_t d = m->head_dim, heads = m->heads, kv = m->kv_heads, *row = s->room->row + thread * s->room->row_size;
    int16_t shortened[HEAD_DIM_MAX];
    for (int64_t t = start; t < stop; t++) {
        int64_t place;
        const Text *text = text_of(s, t, &place);
        int32_t *head = s->room->wide + t * (heads + 2 * kv) * d;
        place += text->used;
        if (m->head_epsilon)
            for (int64_t h = 0; h < heads + kv; h++) head_norm(m, head + h * d, h < heads ? s->query_gain : s->key_gain, row);
        for (int64_t h = 0; h < heads; h++, head += d) {
            turned(m, head, place, row);
            s->room->query_e[t * heads + h] = (uint8_t)shorten(row, d, m->query_max, s->room->query + (t * heads + h) * d);
        }
        for (int64_t k = 0; k < kv; k++, head += d) {
            Block b = block_of(text->pages[place / PAGE], s->layer * kv + k, d);
            turned(m, head, place, row);
            int exponent = shorten(row, d, m->key_max, shortened);
            put_key(&b, place % PAGE, shortened, d, exponent);
        }
        for (int64_t k = 0; k < kv; k++, head += d) {
            Block b = block_of(text->pages[place / PAGE], s->layer * kv + k, d);
            for (int64_t i = 0; i < d; i++) row[i] = head[i];
            int exponent = shorten(row, d, (1 << (VALUE_BITS - 1)) - 1, shortened);
            put_value(&b, place % PAGE, shortened, d, exponent);
        }
    }
}

/* Rows of a text whose queries of one key/value head are answered together. */
INLINE int64_t rows_together(const Sizes *m) { return larger(1, QUERIES * m->kv_heads / m->heads); }

/* Items: for each text, for each of its groups of rows, all key/value heads. A Llama's position sees those before it and
 * itself, or the last `window` of these. */
static void attend_heads(const void *work, int thread, int64_t start, int64_t stop) {
    const Step *s = work;
    const Sizes *m = s->sizes;
    const Room *room = s->room;
    int64_t group = m->heads / m->kv_heads, together = rows_together(m), size = room->positions;
    Desk desk = {room->scores + thread * QUERIES * size, room->exponents + thread * 2 * size, size};
    for (int64_t item = start; item < stop; item++) {
        int64_t part = item / m->kv_heads, kv = item % m->kv_heads, row = 0;
        const Text *text = s->texts;
        for (; part * together >= text->count; row += (text++)->count) part -= (text->count + together - 1) / together;
        Asking asking = {m->exp2, text->pages, s->layer * m->kv_heads + kv, m->head_dim, 0, {0}, {0}, {0}, {0}, {0}};
        for (int64_t place = part * together; place < smaller(text->count, (part + 1) * together); place++)
            for (int64_t head = kv * group; head < (kv + 1) * group; head++) {
                int64_t at = (row + place) * m->heads + head, n = asking.count++;
                asking.query[n] = room->query + at * m->head_dim;
                asking.exponent[n] = room->query_e[at];
                asking.stop[n] = m->cos ? text->used + place + 1 : text->count;
                if (m->window) asking.first[n] = larger(0, asking.stop[n] - m->window);
                asking.out[n] = room->mixed + at * m->head_dim;
                if (asking.count == QUERIES) {
                    attend(&asking, &desk);
                    asking.count = 0;
                }
            }
        if (asking.count) attend(&asking, &desk);
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
    int64_t parts = 0, together = rows_together(s->sizes);
    for (int64_t i = 0; i < s->count; i++) parts += (s->texts[i].count + together - 1) / together;
    parallel(attend_heads, s, parts * s->sizes->kv_heads);
    parallel(shorten_mixed, s, s->rows);
    linear(attention_out, s->room->q, s->room->e, s->rows, MIXED_FRACTION - RESIDUAL_FRACTION, 0, 0, s->x);
}

typedef struct {
    Matrix qkv, attention_out, gate_up, down;
    const int32_t *attention_norm, *mlp_norm; /* (C,) */
    const int32_t *query_norm, *key_norm;     /* (D,), or null */
} LlamaLayer;

/* One layer over the new positions of some texts: x is (T, C), their pages take what is new. */
EXPORT void llama_layer(const Sizes *sizes, const LlamaLayer *layer, int64_t index, const Text *texts, int64_t count,
                        int64_t rows, int64_t *x, const Room *room) {
    Step s = {sizes, texts, index, count, rows, x, room, layer->attention_norm, 0, layer->query_norm, layer->key_norm};
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
    Step s = {sizes, 0, 0, 0, rows, x, room, final_norm, 0, 0, 0};
    parallel(shorten_normed, &s, rows);
    linear(head, room->q, room->e, rows, NORMED_FRACTION - LOGIT_FRACTION, logits, LOGIT_MAX, 0);
}

typedef struct {
    Matrix qkv, attention_out, up, down;
    const int32_t *attention_gain, *attention_bias, *out_gain, *out_bias; /* (C,) */
} EncoderLayer;

/* The states after the embedding: x is (T, C), words and positions added. */
EXPORT void encoder_embedded(const Sizes *sizes, const int32_t *gain, const int32_t *bias, int64_t rows, int64_t *x) {
    Step s = {sizes, 0, 0, 0, rows, x, 0, gain, bias, 0, 0};
    parallel(layer_norm, &s, rows);
}

/* One layer over all positions of some texts: x is (T, C) states before and after. */
EXPORT void encoder_layer(const Sizes *sizes, const EncoderLayer *layer, const Text *texts, int64_t count, int64_t rows,
                          int64_t *x, const Room *room) {
    Step s = {sizes, texts, 0, count, rows, x, room, layer->attention_gain, layer->attention_bias, 0, 0};
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

/* (T, I) activations times (O, I) weights, by the tiles of `linear`, for the self-test. */
EXPORT void products(const int16_t *q, const int8_t *weight, int64_t rows, int64_t inputs, int64_t outputs,
                     int64_t *sums) {
    Matrix m = {weight, 0, 0, outputs, inputs, 0};
    Linear of = {&m, q, 0, rows, 0, 0, 0, sums};
    parallel(linear_part, &of, outputs);
}

EXPORT void square_roots(const int64_t *squares, int64_t count, int64_t *roots) {
    for (int64_t i = 0; i < count; i++) roots[i] = square_root(squares[i]);
}

/* The roots of (count, row_bytes) rows, each the list of its blocks: at most 1024 blocks of at most 256 bytes. */
EXPORT void keccak_rows(const uint8_t *rows, int64_t count, int64_t row_bytes, int64_t block_bytes, uint8_t *roots) {
    Rows of = {rows, row_bytes, block_bytes, roots};
    parallel(row_roots, &of, count);
}

/* The root of a list of 1 or more digests; overwrites them. */
EXPORT void keccak_list(uint8_t *level, int64_t count, uint8_t *root) { list_roots(level, 0, 1, count, root); }
