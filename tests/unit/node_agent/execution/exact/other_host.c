/* A host of another kind: a program for any CPU that reads a model and texts from its input and answers with numbers,
 * all in its own byte order. See test_other_hosts.py. */
#include <stdio.h>

#include "../../../../../node_agent/execution/exact/kernels/standalone.c"

static int take_in(void *to, size_t bytes) { return fread(to, 1, bytes, stdin) == bytes; }

static void *tensor(void) {
    int64_t bytes;
    if (!take_in(&bytes, sizeof bytes)) __builtin_trap();
    if (!bytes) return 0;
    void *room = take(bytes);
    if (!take_in(room, bytes)) __builtin_trap();
    return room;
}

static struct {
    const int32_t *position; /* (P, C) */
    const int32_t *gain, *bias;
    EncoderLayer *layer;
} bert;

/* As `llama`, of exp2, normal, position, embedding, gain and bias of its norm, then of each layer qkv, attention_out, up,
 * down and four gains and biases. */
static void encoder(const Numbers *n, const void *const *next) {
    int64_t c = n->width;
    model.layers = n->layers, model.sizes = sizes_of(n);
    model.sizes.exp2 = *next++, model.sizes.curve = *next++, bert.position = *next++;
    model.embedding = matrix(&next, n->vocabulary, c);
    bert.gain = *next++, bert.bias = *next++;
    bert.layer = take(n->layers * sizeof(EncoderLayer));
    for (int64_t i = 0; i < n->layers; i++) {
        EncoderLayer *layer = &bert.layer[i];
        layer->qkv = matrix(&next, 3 * c, c), layer->attention_out = matrix(&next, c, c);
        layer->up = matrix(&next, n->inner, c), layer->down = matrix(&next, c, n->inner);
        layer->attention_gain = *next++, layer->attention_bias = *next++;
        layer->out_gain = *next++, layer->out_bias = *next++;
    }
    model.room = room_of(&model.sizes, ROWS_MOST, n->positions);
    model.x = take(ROWS_MOST * c * sizeof(int64_t));
    model.positions = n->positions;
}

/* Writes the (L + 1, T, C) states of texts, asked for as in `llama_read`. */
static void write_states(const int32_t *asked, int32_t texts) {
    Text batch[TEXTS];
    int64_t c = model.sizes.width, rows = 0;
    for (int32_t i = 0; i < texts; i++) {
        int32_t text = asked[0], count = asked[2];
        batch[i] = (Text){pages_for(text, count), 0, count};
        asked += 4;
        for (int32_t place = 0; place < count; place++, rows++) {
            embedded(&model.embedding, *asked++, model.x + rows * c);
            for (int64_t k = 0; k < c; k++) model.x[rows * c + k] += bert.position[place * c + k];
        }
    }
    encoder_embedded(&model.sizes, bert.gain, bert.bias, rows, model.x);
    fwrite(model.x, sizeof(int64_t), rows * c, stdout);
    for (int64_t i = 0; i < model.layers; i++) {
        encoder_layer(&model.sizes, &bert.layer[i], batch, texts, rows, model.x, &model.room);
        fwrite(model.x, sizeof(int64_t), rows * c, stdout);
    }
}

int main(void) {
    int32_t encodes, count, head[3]; /* texts, words asked, rows wanted */
    Numbers numbers;
    if (!take_in(&encodes, 4) || !take_in(&count, 4) || !take_in(&numbers, sizeof numbers)) return 1;
    const void **tensors = take(count * sizeof(void *));
    for (int32_t i = 0; i < count; i++) tensors[i] = tensor();
    (encodes ? encoder : llama)(&numbers, tensors);
    while (take_in(head, sizeof head)) {
        int32_t asked[4 * TEXTS + ROWS_MOST];
        if (head[0] > TEXTS || head[1] > (int32_t)(sizeof asked / 4) || !take_in(asked, 4 * head[1])) return 1;
        if (encodes)
            write_states(asked, head[0]);
        else
            fwrite(llama_read(asked, head[0]), sizeof(int32_t), head[2] * model.vocabulary, stdout);
        fflush(stdout);
    }
    return 0;
}
