/* What the library exports, and the tables of kernels it chooses from. */
#ifndef NUMSERVE_LIBRARY_H
#define NUMSERVE_LIBRARY_H

#include "steps.h"

#if defined(__x86_64__)
#define X86 1
#else
#define X86 0
#endif

typedef void (*unit_function)(const void *arguments, int unit, float *scratch);

struct kernels {
    int lanes, max_vectors;
    const int *full_rows; /* of a tile, by its vectors less one */
    unit_function run[KINDS];
};

extern const struct kernels kernels_portable, kernels_avx2, kernels_avx512;

#endif
