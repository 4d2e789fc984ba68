/* Runs pieces of work, one after the other, each on several threads. */
#pragma once
#include "words.h"

/* Does items start..stop-1 of some work; `thread` counts from 0. */
typedef void (*Work)(const void *of, int thread, int64_t start, int64_t stop);

#if defined(__linux__)
typedef struct {
    int64_t opaque[8]; /* at least as large as any Linux's sem_t */
} Semaphore;
extern int pthread_create(void **thread, const void *attributes, void *(*run)(void *), void *of);
extern int sem_init(Semaphore *semaphore, int shared, unsigned value);
extern int sem_wait(Semaphore *semaphore);
extern int sem_post(Semaphore *semaphore);
extern int sched_yield(void);

enum { THREADS_MAX = 64, SPINS = 4000 };

typedef struct {
    int threads;     /* that share the next piece of work, the caller's among them */
    int started;     /* that there are */
    uint64_t number; /* of the piece of work, counted up for each, times 256, plus the threads that share it */
    int left;        /* of these, those that have not done their part */
    Work work;
    const void *of;
    int64_t items;
    struct {
        int asleep; /* whether the thread that clears it must post */
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

/* Waits for a piece of work after `done`: first busily, since pieces follow closely, then asleep. */
static uint64_t await_work(int thread, uint64_t done) {
    for (int spin = 0; spin < SPINS; spin++) {
        uint64_t number = __atomic_load_n(&pool.number, __ATOMIC_ACQUIRE);
        if (number != done) return number;
        pause_cpu();
    }
    /* A post may come late, when a busy helper has already done its piece. So waking up only means to look again. */
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
        if (thread >= threads) continue; /* fewer threads share this piece, and nobody waits for this one */
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
            sched_yield(); /* a helper may be waiting for this core */
}

/* Sets the number of threads, the caller's included. Returns how many there are. */
EXPORT int64_t use_threads(int64_t wanted) {
    void *handle;
    for (; pool.started < smaller(wanted, THREADS_MAX); pool.started++) {
        sem_init(&pool.helper[pool.started].wake, 0, 0);
        if (pthread_create(&handle, 0, serve, (void *)(intptr_t)pool.started) != 0) break;
    }
    pool.threads = (int)larger(1, smaller(wanted, pool.started));
    return pool.threads;
}
#else
/* macOS has no unnamed semaphores: one thread. */
static void parallel(Work work, const void *of, int64_t items) { work(of, 0, 0, items); }
EXPORT int64_t use_threads(int64_t wanted) {
    (void)wanted;
    return 1;
}
#endif
