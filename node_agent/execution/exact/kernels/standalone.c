/* A Llama without Python: what `llama/kernels.py` and `llama/pages.py` do around kernels.c, for texts read one chunk
 * after the other.
 *
 * Compiled to WebAssembly it runs a job again in a browser (backend/web/rerun); compiled for another CPU it shows in a
 * test that this CPU computes the same. One model, whose memory is never given back.
 */
#include "kernels.c"

enum { TEXTS = 16, ROWS_MOST = 128, ALIGNED = 64 };

/* `bytes` of memory, from a cache line on. Ends the program where there are none. */
#if defined(__wasm__)
extern uint8_t __heap_base;
EXPORT void *take(uintptr_t bytes) {
    static uintptr_t used = 0;
    uintptr_t start = ((used ? used : (uintptr_t)&__heap_base) + ALIGNED - 1) / ALIGNED * ALIGNED;
    uintptr_t held = __builtin_wasm_memory_size(0) << 16;
    used = start + bytes;
    if (used < start) __builtin_trap();
    if (used > held && __builtin_wasm_memory_grow(0, (used - held + 0xffff) >> 16) == (uintptr_t)-1) __builtin_trap();
    return (void *)start;
}
#else
extern void *aligned_alloc(uintptr_t alignment, uintptr_t bytes);
EXPORT void *take(uintptr_t bytes) {
    void *found = aligned_alloc(ALIGNED, (bytes + ALIGNED - 1) / ALIGNED * ALIGNED + ALIGNED);
    if (!found) __builtin_trap();
    return found;
}
#endif

/* What `llama` is told, in this order. */
typedef struct {
    int64_t width, inner, heads, kv_heads, head_dim, query_max, key_max, epsilon, window, head_epsilon;
    int64_t layers, vocabulary, positions;
} Numbers;

static struct {
    Sizes sizes;
    int64_t layers, vocabulary, positions;
    Matrix embedding, head;
    const int32_t *final_norm;
    LlamaLayer *layer;
    Room room;
    int64_t *x, *last;         /* (ROWS_MOST, C) */
    int32_t *logits;           /* (ROWS_MOST, V) */
    uint8_t **pages[TEXTS];    /* of each text, enough for all positions */
    int64_t pages_held[TEXTS]; /* how many of them there are */
} model;

/* A matrix out of weight, multiplier, bias (or null) and exponent. */
static Matrix matrix(const void *const **next, int64_t outputs, int64_t inputs) {
    const void *const *of = *next;
    *next += 4;
    return (Matrix){of[0], of[1], of[2], outputs, inputs, *(const int32_t *)of[3]};
}

static Sizes sizes_of(const Numbers *n) {
    return (Sizes){n->width,   n->inner,   n->heads,  n->kv_heads,     n->head_dim, n->query_max,
                   n->key_max, n->epsilon, n->window, n->head_epsilon, 0,           0,
                   0,          0};
}

/* As `Rooms` of __init__.py, for one thread. */
static Room room_of(const Sizes *m, int64_t rows, int64_t positions) {
    int64_t heads = m->heads * m->head_dim, reads = larger(larger(m->width, heads), m->inner);
    int64_t gives = larger(heads + 2 * m->kv_heads * m->head_dim, 2 * m->inner);
    positions = (positions + PAGE - 1) / PAGE * PAGE;
    return (Room){
        .q = take(rows * reads * sizeof(int16_t)),
        .e = take(rows * sizeof(int32_t)),
        .wide = take(rows * gives * sizeof(int32_t)),
        .query = take(rows * heads * sizeof(int16_t)),
        .query_e = take(rows * m->heads),
        .mixed = take(rows * heads * sizeof(int64_t)),
        .row = take(reads * sizeof(int64_t)),
        .scores = take(QUERIES * positions * sizeof(int32_t)),
        .exponents = take(2 * positions),
        .row_size = reads,
        .positions = positions,
    };
}

/* Assembles the model from its tensors, which lie in memory: exp2, sigmoid, cos, sin, embedding, head, final_norm, then
 * of each layer qkv, attention_out, gate_up, down, attention_norm, mlp_norm, query_norm, key_norm. A matrix has four
 * (`matrix`); what a model lacks is null. */
EXPORT void llama(const Numbers *n, const void *const *tensor) {
    int64_t c = n->width, f = n->inner, heads = n->heads * n->head_dim, kv = n->kv_heads * n->head_dim;
    model.layers = n->layers, model.vocabulary = n->vocabulary, model.positions = n->positions;
    model.sizes = sizes_of(n);
    model.sizes.exp2 = *tensor++, model.sizes.curve = *tensor++, model.sizes.cos = *tensor++, model.sizes.sin = *tensor++;
    model.embedding = matrix(&tensor, n->vocabulary, c);
    model.head = matrix(&tensor, n->vocabulary, c);
    model.final_norm = *tensor++;
    model.layer = take(n->layers * sizeof(LlamaLayer));
    for (int64_t i = 0; i < n->layers; i++) {
        LlamaLayer *layer = &model.layer[i];
        layer->qkv = matrix(&tensor, heads + 2 * kv, c);
        layer->attention_out = matrix(&tensor, c, heads);
        layer->gate_up = matrix(&tensor, 2 * f, c);
        layer->down = matrix(&tensor, c, f);
        layer->attention_norm = *tensor++, layer->mlp_norm = *tensor++;
        layer->query_norm = *tensor++, layer->key_norm = *tensor++;
    }
    model.room = room_of(&model.sizes, ROWS_MOST, n->positions);
    model.x = take(ROWS_MOST * c * sizeof(int64_t)), model.last = take(ROWS_MOST * c * sizeof(int64_t));
    model.logits = take(ROWS_MOST * n->vocabulary * sizeof(int32_t));
}

/* The pages of a text, as many as hold so many positions. */
static uint8_t **pages_for(int32_t text, int64_t positions) {
    int64_t page = model.layers * model.sizes.kv_heads * block_bytes(model.sizes.head_dim);
    if (!model.pages[text]) model.pages[text] = take((model.positions / PAGE + 1) * sizeof(uint8_t *));
    for (; model.pages_held[text] * PAGE < positions; model.pages_held[text]++)
        model.pages[text][model.pages_held[text]] = take(page);
    return model.pages[text];
}

/* A token's row of the embedding, with 20 fraction bits. */
static void embedded(const Matrix *m, int32_t token, int64_t *x) {
    for (int64_t i = 0; i < m->inputs; i++)
        x[i] = rsh((int64_t)m->weight[token * m->inputs + i] * m->multiplier[token], (int)m->exponent - RESIDUAL_FRACTION);
}

/* Reads the next tokens of some texts together, ROWS_MOST tokens and TEXTS texts at most. Of each text `asked` has: its
 * number, how many positions it has already, how many tokens follow and of how many of the last the logits are wanted;
 * then the tokens. The caller keeps to the vocabulary and the positions. Returns the (wanted, V) logits, text by text. */
EXPORT const int32_t *llama_read(const int32_t *asked, int32_t texts) {
    Text batch[TEXTS];
    int64_t c = model.sizes.width, rows = 0, wanted = 0;
    const int32_t *next = asked;
    for (int32_t i = 0; i < texts; i++) {
        int32_t text = next[0], used = next[1], count = next[2];
        batch[i] = (Text){pages_for(text, used + count), used, count};
        next += 4;
        for (int32_t token = 0; token < count; token++) embedded(&model.embedding, *next++, model.x + rows++ * c);
    }
    for (int64_t i = 0; i < model.layers; i++)
        llama_layer(&model.sizes, &model.layer[i], i, batch, texts, rows, model.x, &model.room);
    rows = 0;
    for (int32_t i = 0; i < texts; i++, asked += 4 + asked[2]) {
        rows += asked[2];
        for (int64_t row = rows - asked[3]; row < rows; row++) copy(model.last + wanted++ * c, model.x + row * c, c);
    }
    if (wanted) llama_logits(&model.sizes, &model.head, model.final_norm, wanted, model.last, &model.room, model.logits);
    return model.logits;
}
