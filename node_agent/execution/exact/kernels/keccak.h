/* keccak256 of the court's lists (contracts/COURT.md): many rows of numbers at once, each a list of blocks. */
#pragma once
#include "threads.h"

#if defined(__AVX512F__)
enum { WIDE = 8 };
#elif defined(__AVX2__)
enum { WIDE = 4 };
#else
enum { WIDE = 2 };
#endif
enum { DIGEST = 32, RATE = 136, BLOCK_MAX = 256, BLOCKS_MAX = 1024, LISTS = 8, LEAF = 0, PAIR = 1, LIST = 2 };

/* A lane of the sponge, for WIDE messages that are hashed side by side. */
typedef uint64_t Lane __attribute__((vector_size(8 * WIDE)));


static const uint64_t ROUND_CONSTANTS[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};
/* The place that each lane moves to, in turn from lane 1 on, and its rotation (pi and rho of FIPS 202). */
static const int MOVES[24] = {10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1};
static const int TURNS[24] = {1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44};

INLINE Lane rolled(Lane lane, int bits) { return lane << bits | lane >> (64 - bits); }

#define UNROLLED _Pragma("clang loop unroll(full)") for

static void permute(Lane *state) {
    Lane s[25];
    UNROLLED(int i = 0; i < 25; i++) s[i] = state[i];
    for (int round = 0; round < 24; round++) {
        Lane column[5];
        UNROLLED(int x = 0; x < 5; x++) column[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
        UNROLLED(int x = 0; x < 5; x++) {
            Lane turned = column[(x + 4) % 5] ^ rolled(column[(x + 1) % 5], 1);
            UNROLLED(int y = 0; y < 25; y += 5) s[x + y] ^= turned;
        }
        Lane last = s[1];
        UNROLLED(int i = 0; i < 24; i++) {
            Lane moved = s[MOVES[i]];
            s[MOVES[i]] = rolled(last, TURNS[i]);
            last = moved;
        }
        UNROLLED(int y = 0; y < 25; y += 5) {
            UNROLLED(int x = 0; x < 5; x++) column[x] = s[x + y];
            UNROLLED(int x = 0; x < 5; x++) s[x + y] = column[x] ^ (~column[(x + 1) % 5] & column[(x + 2) % 5]);
        }
        s[0] ^= ROUND_CONSTANTS[round];
    }
    UNROLLED(int i = 0; i < 25; i++) state[i] = s[i];
}

/* Up to 8 bytes as a lane, little-endian like the hosts. */
INLINE uint64_t word(const uint8_t *data, int64_t size) {
    uint64_t found = 0;
    if (size >= 8) {
        __builtin_memcpy(&found, data, 8);
        return found;
    }
    for (int64_t i = 0; i < size; i++) found |= (uint64_t)data[i] << 8 * i;
    return found;
}

/* The digests of WIDE messages of a first byte and `size` more: at most 256, which fit two blocks of the sponge. */
static void keccak(uint8_t first, const uint8_t *const *data, int64_t size, uint8_t *const *digests) {
    Lane message[2 * RATE / 8] = {{0}}, state[25] = {{0}};
    int64_t blocks = (size + 1) / RATE + 1;
    for (int lane = 0; lane < WIDE; lane++) {
        uint64_t carried = first;
        for (int64_t i = 0; 8 * i <= size; i++) {
            uint64_t next = word(data[lane] + 8 * i, size - 8 * i);
            message[i][lane] = carried | next << 8;
            carried = next >> 56;
        }
        message[(size + 1) / 8][lane] ^= (uint64_t)1 << 8 * ((size + 1) % 8);
        message[blocks * RATE / 8 - 1][lane] ^= (uint64_t)0x80 << 56;
    }
    for (int64_t block = 0; block < blocks; block++) {
        for (int i = 0; i < RATE / 8; i++) state[i] ^= message[block * RATE / 8 + i];
        permute(state);
    }
    for (int lane = 0; lane < WIDE; lane++)
        for (int i = 0; i < DIGEST / 8; i++) {
            uint64_t part = state[i][lane];
            __builtin_memcpy(digests[lane] + 8 * i, &part, 8);
        }
}

/* Where `each` messages or digests of every list lie. */
typedef struct {
    uint8_t *first;
    int64_t list_step, step;
} Place;

/* Hashes `each` messages of `lists` lists. A digest may overwrite its own message or earlier ones. */
static void hash_all(uint8_t first, Place from, int64_t size, Place to, int64_t lists, int64_t each) {
    int64_t list = 0, at = 0;
    while (list < lists) {
        const uint8_t *data[WIDE];
        uint8_t *digests[WIDE];
        for (int lane = 0; lane < WIDE; lane++) {
            data[lane] = from.first + list * from.list_step + at * from.step;
            digests[lane] = to.first + list * to.list_step + at * to.step;
            if (list == lists - 1 && at == each - 1 && lane < WIDE - 1) continue; /* the last one again */
            if (++at == each) at = 0, list++;
        }
        keccak(first, data, size, digests);
    }
}

/* The roots of lists of `count` digests each; overwrites the digests. */
static void list_roots(uint8_t *level, int64_t list_step, int64_t lists, int64_t count, uint8_t *roots) {
    uint8_t sealed[LISTS][4 + DIGEST];
    for (int64_t list = 0; list < lists; list++)
        for (int i = 0; i < 4; i++) sealed[list][i] = (uint8_t)(count >> (24 - 8 * i));
    while (count > 1) {
        int64_t pairs = count / 2;
        Place from = {level, list_step, 2 * DIGEST}, to = {level, list_step, DIGEST};
        hash_all(PAIR, from, 2 * DIGEST, to, lists, pairs);
        for (int64_t list = 0; count % 2 && list < lists; list++) {
            uint8_t *here = level + list * list_step;
            __builtin_memmove(here + pairs * DIGEST, here + (count - 1) * DIGEST, DIGEST);
        }
        count = pairs + count % 2;
    }
    for (int64_t list = 0; list < lists; list++) __builtin_memcpy(sealed[list] + 4, level + list * list_step, DIGEST);
    hash_all(LIST, (Place){sealed[0], sizeof sealed[0], 0}, sizeof sealed[0], (Place){roots, DIGEST, 0}, lists, 1);
}

typedef struct {
    const uint8_t *rows;
    int64_t row_bytes, block_bytes;
    uint8_t *roots;
} Rows;

static void row_roots(const void *of, int thread, int64_t start, int64_t stop) {
    const Rows *r = of;
    uint8_t level[LISTS * BLOCKS_MAX * DIGEST];
    int64_t whole = r->row_bytes / r->block_bytes, rest = r->row_bytes % r->block_bytes, blocks = whole + (rest > 0);
    (void)thread;
    for (int64_t row = start; row < stop; row += LISTS) {
        int64_t lists = smaller(LISTS, stop - row), step = blocks * DIGEST;
        Place from = {(uint8_t *)r->rows + row * r->row_bytes, r->row_bytes, r->block_bytes};
        Place to = {level, step, DIGEST};
        if (whole) hash_all(LEAF, from, r->block_bytes, to, lists, whole);
        from.first += whole * r->block_bytes, to.first += whole * DIGEST;
        if (rest) hash_all(LEAF, from, rest, to, lists, 1);
        list_roots(level, step, lists, blocks, r->roots + row * DIGEST);
    }
}
