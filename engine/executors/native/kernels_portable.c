/* The kernels for vectors of four floats, in plain C for any processor. */
#define WIDTH 128
#define NAME kernels_portable
#include "kernels.h"
