/* keccak256 of the court's lists (contracts/COURT.md): of many rows of numbers, each the list of its blocks. */
#pragma once
#include "threads.h"

enum { DIGEST = 32, RATE = 136, BLOCK_MAX = 256, BLOCKS_MAX = 1024, LEAF = 0, PAIR = 1, LIST = 2 };

static const uint64_t ROUND_CONSTANTS[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};
/* Where the lanes go one after the other, from lane 1 on, and how far each turns (rho and pi of FIPS 202). */
static const int MOVES[24] = {10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1};
static const int TURNS[24] = {1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44};

INLINE uint64_t rolled(uint64_t lane, int bits) { return lane << bits | lane >> (64 - bits); }

static void permute(uint64_t *s) {
    for (int round = 0; round < 24; round++) {
        uint64_t column[5];
        for (int x = 0; x < 5; x++) column[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
        for (int x = 0; x < 5; x++)
            for (int y = 0; y < 25; y += 5) s[x + y] ^= column[(x + 4) % 5] ^ rolled(column[(x + 1) % 5], 1);
        uint64_t last = s[1];
        for (int i = 0; i < 24; i++) {
            uint64_t moved = s[MOVES[i]];
            s[MOVES[i]] = rolled(last, TURNS[i]);
            last = moved;
        }
        for (int y = 0; y < 25; y += 5) {
            for (int x = 0; x < 5; x++) column[x] = s[x + y];
            for (int x = 0; x < 5; x++) s[x + y] = column[x] ^ (~column[(x + 1) % 5] & column[(x + 2) % 5]);
        }
        s[0] ^= ROUND_CONSTANTS[round];
    }
}

/* Of a first byte and at most 256 more: two blocks of the sponge. Lanes are little-endian, as the hosts are. */
static void keccak(uint8_t first, const uint8_t *data, int64_t size, uint8_t *digest) {
    union {
        uint64_t lanes[2 * RATE / 8];
        uint8_t bytes[2 * RATE];
    } message = {{0}};
    uint64_t state[25] = {0};
    int64_t blocks = (size + 1) / RATE + 1;
    message.bytes[0] = first;
    for (int64_t i = 0; i < size; i++) message.bytes[1 + i] = data[i];
    message.bytes[1 + size] ^= 0x01;
    message.bytes[blocks * RATE - 1] ^= 0x80;
    for (int64_t block = 0; block < blocks; block++) {
        for (int i = 0; i < RATE / 8; i++) state[i] ^= message.lanes[block * RATE / 8 + i];
        permute(state);
    }
    for (int i = 0; i < DIGEST; i++) digest[i] = (uint8_t)(state[i / 8] >> 8 * (i % 8));
}

/* The root of a list of digests, which are lost. */
static void list_root(uint8_t *level, int64_t count, uint8_t *root) {
    uint8_t sealed[4 + DIGEST];
    for (int i = 0; i < 4; i++) sealed[i] = (uint8_t)(count >> (24 - 8 * i));
    while (count > 1) {
        int64_t pairs = count / 2;
        for (int64_t i = 0; i < pairs; i++) keccak(PAIR, level + 2 * i * DIGEST, 2 * DIGEST, level + i * DIGEST);
        for (int i = 0; count % 2 && i < DIGEST; i++) level[pairs * DIGEST + i] = level[(count - 1) * DIGEST + i];
        count = pairs + count % 2;
    }
    for (int i = 0; i < DIGEST; i++) sealed[4 + i] = level[i];
    keccak(LIST, sealed, sizeof sealed, root);
}

typedef struct {
    const uint8_t *rows;
    int64_t row_bytes, block_bytes;
    uint8_t *roots;
} Rows;

static void row_roots(const void *of, int thread, int64_t start, int64_t stop) {
    const Rows *r = of;
    uint8_t level[BLOCKS_MAX * DIGEST];
    (void)thread;
    for (int64_t row = start; row < stop; row++) {
        int64_t blocks = 0;
        for (int64_t at = 0; at < r->row_bytes; at += r->block_bytes, blocks++)
            keccak(LEAF, r->rows + row * r->row_bytes + at, smaller(r->block_bytes, r->row_bytes - at),
                   level + blocks * DIGEST);
        list_root(level, blocks, r->roots + row * DIGEST);
    }
}
