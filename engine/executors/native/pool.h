/* The threads that run a program's units. */
#ifndef NUMSERVE_POOL_H
#define NUMSERVE_POOL_H

#include "library.h"

struct pool_of_threads;

/* `threads` counts the caller; NULL where the threads cannot be had. */
struct pool_of_threads *pool_create(int threads);
void pool_destroy(struct pool_of_threads *pool);

/* Run steps in order, the units of each by whichever thread is free; pool may be NULL. seconds may be NULL, or takes
 * each step's time. scratch holds one buffer a thread. */
void pool_run(struct pool_of_threads *pool, const struct kernels *kernels, const struct step *steps, int count,
              float *const *scratch, double *seconds);

#endif
