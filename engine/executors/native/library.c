/* What Python calls. Nothing here keeps state: pools and programs are the caller's. */
#include "library.h"
#include "pool.h"

#include <stddef.h>
#include <string.h>
#if X86
#include <immintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))

static const struct {
    const char *name;
    const struct kernels *kernels;
} VARIANTS[] = {
#if X86
    {"avx512", &kernels_avx512},
    {"avx2", &kernels_avx2},
#endif
    {"portable", &kernels_portable},
};
enum { VARIANT_COUNT = sizeof VARIANTS / sizeof *VARIANTS };

static int runs_here(const char *name) {
#if X86
    if (strcmp(name, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
    if (strcmp(name, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return strcmp(name, "portable") == 0;
}

EXPORT int numserve_native_version(void) { return ABI_VERSION; }

/* The size of structure `index`, in the order of steps.h; 0 beyond the last. */
EXPORT int numserve_native_layout(int index) {
    static const int SIZES[] = {
        sizeof(struct finish), sizeof(struct tap), sizeof(struct panel), sizeof(struct convolution),
        sizeof(struct winograd), sizeof(struct depthwise), sizeof(struct pool), sizeof(struct mean), sizeof(struct copy),
        sizeof(struct rowwise), sizeof(struct attention), sizeof(struct recurrent), sizeof(struct step),
    };
    return index < (int)(sizeof SIZES / sizeof *SIZES) ? SIZES[index] : 0;
}

/* The name of variant `index`, best first; NULL beyond the last. */
EXPORT const char *numserve_native_variant(int index) { return index < VARIANT_COUNT ? VARIANTS[index].name : NULL; }

/* The kernels of that name, or NULL where this processor lacks what they need. */
EXPORT const struct kernels *numserve_native_kernels(const char *name) {
    for (int i = 0; i < VARIANT_COUNT; i++)
        if (strcmp(VARIANTS[i].name, name) == 0 && runs_here(name))
            return VARIANTS[i].kernels;
    return NULL;
}

EXPORT int numserve_native_lanes(const struct kernels *k) { return k->lanes; }
EXPORT int numserve_native_rows(const struct kernels *k, int vectors) { return k->full_rows[vectors - 1]; }
EXPORT int numserve_native_vectors(const struct kernels *k) { return k->max_vectors; }

/* Drop some memory from the caches, so that what is timed next reads it as a whole model's run would. */
EXPORT void numserve_native_forget(const char *memory, int64_t bytes) {
#if X86
    for (int64_t i = 0; i < bytes; i += 64) _mm_clflush(memory + i);
    _mm_mfence();
#else
    (void)memory;
    (void)bytes;
#endif
}

EXPORT struct pool_of_threads *numserve_native_pool(int threads) { return pool_create(threads); }
EXPORT void numserve_native_pool_end(struct pool_of_threads *pool) { pool_destroy(pool); }

EXPORT void numserve_native_run(struct pool_of_threads *pool, const struct kernels *kernels, const struct step *steps,
                                int count, float *const *scratch, double *seconds) {
    pool_run(pool, kernels, steps, count, scratch, seconds);
}
