/* One parallel region a run. Of every step each thread has its own share of the units, the same part of the images each
 * time, so that it finds in its cache what it wrote there; when it is through with them it takes what others have left.
 * A step is over when its units are done, not when every thread has come by, so a thread that the system has put aside
 * holds nobody up unless it is within a unit. Who must wait spins for some microseconds and then sleeps.
 */
#define _GNU_SOURCE
#include "pool.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if X86
#include <immintrin.h>
#endif

enum { LINE = 64, MOST_THREADS = 256 };
static const double SPIN_SECONDS = 30e-6;

/* A number to wait on, alone on its cache line. */
struct gate {
    _Alignas(LINE) atomic_int value;
    atomic_int sleepers;
};

struct pool_of_threads {
    struct gate runs;                    /* odd while a run is open to the workers; -1: leave */
    struct gate inside;                  /* workers that have joined the run */
    struct gate done;                    /* finished units of all steps so far */
    struct gate next[MOST_THREADS];      /* units taken of each thread's shares, of all steps so far */
    const struct kernels *kernels;
    const struct step *steps;
    float *const *scratch;
    double *seconds;
    int count, threads;
    pthread_t workers[];
};

struct worker {
    struct pool_of_threads *pool;
    int index;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void breathe(void) {
#if X86
    _mm_pause();
#endif
}

static void sleep_while(struct gate *g, int value) {
#if defined(__linux__)
    syscall(SYS_futex, &g->value, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    const struct timespec moment = {0, 50000};
    if (atomic_load(&g->value) == value)
        nanosleep(&moment, NULL);
#endif
}

static void wake(struct gate *g) {
    if (atomic_load(&g->sleepers) == 0)
        return;
#if defined(__linux__)
    syscall(SYS_futex, &g->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#endif
}

/* Wait until the gate no longer shows `value`; returns what it shows then. */
static int await_change(struct gate *g, int value) {
    int seen;
    const double deadline = now() + SPIN_SECONDS;
    do {
        for (int i = 0; i < 16; i++) {
            if ((seen = atomic_load_explicit(&g->value, memory_order_acquire)) != value)
                return seen;
            breathe();
        }
    } while (now() < deadline);
    atomic_fetch_add(&g->sleepers, 1);
    while ((seen = atomic_load(&g->value)) == value) sleep_while(g, value);
    atomic_fetch_sub(&g->sleepers, 1);
    return seen;
}

static void run_alone(const struct kernels *kernels, const struct step *steps, int count, float *scratch, double *seconds) {
    for (int i = 0; i < count; i++) {
        const double start = seconds ? now() : 0;
        for (int unit = 0; unit < steps[i].units; unit++) kernels->run[steps[i].kind](steps[i].arguments, unit, scratch);
        if (seconds)
            seconds[i] = now() - start;
    }
}

/* The first of `units` units that belongs to a thread's share. */
static int share_begin(const struct pool_of_threads *p, int units, int thread) {
    return (int)((int64_t)units * thread / p->threads);
}

/* Do units of one thread's share until none is left; `before` units of its shares were in earlier steps. */
static int work_on_share(struct pool_of_threads *p, const struct step *s, int thread, int before, float *scratch) {
    const int begin = share_begin(p, s->units, thread), count = share_begin(p, s->units, thread + 1) - begin;
    atomic_int *next = &p->next[thread].value;
    int taken = atomic_load(next), finished = 0;
    while (taken < before + count)
        if (atomic_compare_exchange_weak(next, &taken, taken + 1)) {
            p->kernels->run[s->kind](s->arguments, begin + taken - before, scratch);
            finished++;
            taken = atomic_load(next);
        }
    return finished;
}

/* What the caller and each worker do in a run. The units of all steps are numbered through, so that no counter is ever
 * set back while somebody may still look at it. */
static void work(struct pool_of_threads *p, int index) {
    int end = 0, before[MOST_THREADS] = {0};
    for (int i = 0; i < p->count; i++) {
        const struct step *s = p->steps + i;
        int finished = 0;
        end += s->units;
        for (int k = 0; k < p->threads; k++) {
            const int thread = (index + k) % p->threads;
            finished += work_on_share(p, s, thread, before[thread], p->scratch[index]);
        }
        for (int k = 0; k < p->threads; k++) before[k] += share_begin(p, s->units, k + 1) - share_begin(p, s->units, k);
        const double stop = p->seconds ? now() : 0;
        if (finished && atomic_fetch_add(&p->done.value, finished) + finished >= end) {
            if (p->seconds)
                p->seconds[i] = stop; /* whoever finishes a step notes when; the caller may be asleep */
            wake(&p->done);
        }
        for (int seen = atomic_load(&p->done.value); seen < end;) seen = await_change(&p->done, seen);
    }
}

static void *serve(void *argument) {
    struct worker me = *(struct worker *)argument;
    struct pool_of_threads *p = me.pool;
    free(argument);
    for (int run = 0; run >= 0; run = await_change(&p->runs, run)) {
        if (run % 2 == 0)
            continue;
        atomic_fetch_add(&p->inside.value, 1);
        if (atomic_load(&p->runs.value) == run)
            work(p, me.index);
        if (atomic_fetch_sub(&p->inside.value, 1) == 1)
            wake(&p->inside);
    }
    return NULL;
}

static int add_worker(struct pool_of_threads *p, int index) {
    struct worker *w = malloc(sizeof *w);
    if (!w)
        return 0;
    *w = (struct worker){p, index};
    if (pthread_create(&p->workers[index - 1], NULL, serve, w) == 0)
        return 1;
    free(w);
    return 0;
}

struct pool_of_threads *pool_create(int threads) {
    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    const size_t size = sizeof(struct pool_of_threads) + sizeof(pthread_t) * (size_t)threads;
    struct pool_of_threads *p = aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE);
    if (!p)
        return NULL;
    memset(p, 0, size);
    p->threads = threads;
    for (int started = 1; started < threads; started++)
        if (!add_worker(p, started)) {
            p->threads = started;
            pool_destroy(p);
            return NULL;
        }
    return p;
}

void pool_destroy(struct pool_of_threads *p) {
    atomic_store(&p->runs.value, -1);
    wake(&p->runs);
    for (int i = 1; i < p->threads; i++) pthread_join(p->workers[i - 1], NULL);
    free(p);
}

void pool_run(struct pool_of_threads *p, const struct kernels *kernels, const struct step *steps, int count,
              float *const *scratch, double *seconds) {
    if (!p || p->threads == 1) {
        run_alone(kernels, steps, count, scratch[0], seconds);
        return;
    }
    p->kernels = kernels;
    p->steps = steps;
    p->count = count;
    p->scratch = scratch;
    p->seconds = seconds;
    for (int k = 0; k < p->threads; k++) atomic_store(&p->next[k].value, 0);
    atomic_store(&p->done.value, 0);
    const double start = seconds ? now() : 0;
    const int run = (atomic_load(&p->runs.value) + 1) & INT_MAX;
    atomic_store(&p->runs.value, run);
    wake(&p->runs);
    work(p, 0);
    atomic_store(&p->runs.value, (run + 1) & INT_MAX);
    for (int left = atomic_load(&p->inside.value); left > 0;) left = await_change(&p->inside, left);
    if (seconds)
        for (int i = count - 1; i >= 0; i--) seconds[i] -= i > 0 ? seconds[i - 1] : start;
}
