/* What one step of a program needs: the structures that Python fills in and the kernels read.
 *
 * Images are NHWC; the pitch of a tensor (ld_*) is the number of floats from one pixel, or row, to the next.
 * structures.py mirrors these field by field; numserve_native_layout() tells whether the two agree.
 */
#ifndef NUMSERVE_STEPS_H
#define NUMSERVE_STEPS_H

#include <stdint.h>

enum { ABI_VERSION = 1 };

enum kind {
    CONVOLUTION, WINOGRAD, WINOGRAD_INPUT, WINOGRAD_PRODUCT, WINOGRAD_OUTPUT, DEPTHWISE,
    MAX_POOL, AVERAGE_POOL, MEAN, COPY, UNARY, BINARY, AFFINE, SOFTMAX, LAYER_NORM, ATTENTION,
    LSTM, GRU, RNN,
    KINDS
};

enum activation {
    IDENTITY, CLAMP, SIGMOID, TANH, SILU, GELU, GELU_TANH, HARDSWISH, HARDSIGMOID, LEAKY_RELU, EXP, ERF,
    SQRT, RSQRT, RECIPROCAL, NEGATE, ABSOLUTE, SQUARE
};

enum binary { ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM };

/* The last thing done to a result: an activation; CLAMP keeps it in [low, high], LEAKY_RELU takes its slope from low. */
struct finish {
    int32_t activation;
    float low, high;
};

/* Where a window of a kernel lies: its offset in pixels from the window's corner, and in floats. */
struct tap {
    int32_t y, x, offset;
};

/* Some output channels that are computed together: how many vectors, the first channel. */
struct panel {
    int32_t vectors, first;
};

/* y = finish(conv(clip(x)) + bias + residual); a product of matrices is a 1x1 convolution. */
struct convolution {
    const float *x, *weights, *bias, *residual, *low, *high, *zeros;
    float *y;
    const struct tap *taps;
    const struct panel *panels;
    int64_t ld_x, ld_y, ld_residual, group_weights;
    int32_t batch, height, width, out_height, out_width;
    int32_t stride_y, stride_x, top, left;
    int32_t channels, out_channels, groups;            /* channels of one group */
    int32_t tap_count, depth, panel_count;             /* depth: floats read at a tap */
    int32_t block_taps, block_pixels, block_panels;    /* how much a unit takes at once */
    int32_t flat;                                      /* 1x1, stride 1, no padding: a pixel's row is at pixel * ld_x */
    struct finish finish;
};

/* A 3x3 convolution of stride 1 by F(m x m, 3x3); weights are [panel][(m + 2)^2][channels][lanes * vectors]. */
struct winograd {
    const float *x, *weights, *bias, *residual;
    float *y, *images, *products;                      /* the latter two only where the phases are steps of their own */
    const struct panel *panels;
    int64_t ld_x, ld_y, ld_residual;
    int32_t batch, height, width, out_height, out_width, top, left;
    int32_t channels, padded_channels, out_channels, padded_out;
    int32_t panel_count, tiles_y, tiles_x, block_tiles;
    int32_t m;                                         /* 4 or 2 */
    struct finish finish;
};

/* One filter a channel; weights are [tap][channels rounded up to lanes]. */
struct depthwise {
    const float *x, *weights, *bias, *residual, *zeros;
    float *y;
    const struct tap *taps;
    int64_t ld_x, ld_y, ld_residual, ld_weights;
    int32_t batch, height, width, out_height, out_width;
    int32_t stride_y, stride_x, top, left, channels, tap_count;
    struct finish finish;
};

struct pool {
    const float *x;
    float *y;
    int64_t ld_x, ld_y;
    int32_t batch, height, width, out_height, out_width, channels;
    int32_t kernel_y, kernel_x, stride_y, stride_x, dilation_y, dilation_x, top, left;
    int32_t divisor;                                   /* of a window's sum; 0: the number of values in it */
};

/* The mean over all pixels of each image. */
struct mean {
    const float *x;
    float *y;
    int64_t ld_x, ld_y;
    int32_t pixels, channels;
};

/* Any strided copy of six dims; units cut the first one. */
struct copy {
    const float *x;
    float *y;
    int64_t sizes[6], x_strides[6], y_strides[6];
};

/* Rows of floats, worked on one by one; a pitch of 0 repeats a row, a step of 0 repeats a value. */
struct rowwise {
    const float *a, *b, *c;
    float *y;
    int64_t ld_a, ld_b, ld_y, rows;
    int32_t columns, step_a, step_b, block_rows, operation;
    float epsilon;
    struct finish finish;
};

/* softmax(q k^T * scale + mask) v; one unit is a block of queries of one head. */
struct attention {
    const float *q, *k, *v, *mask;
    float *y;
    int64_t q_strides[3], k_strides[3], v_strides[3], y_strides[3], mask_strides[3];  /* batch, head, row */
    int64_t mask_step;
    int32_t batch, heads, queries, keys, depth, out_depth, block_queries, causal;
    float scale;
};

/* One time of a recurrent layer, its inputs' part of the gates' sums being known. */
struct recurrent {
    const float *gates, *weights, *bias, *h, *c;       /* bias: of the GRU's last gate; h, c: the states before */
    float *y, *last_h, *last_c;                        /* last_h only at the last time */
    int64_t ld_gates, ld_h, ld_c, ld_y, ld_last_h, ld_last_c;
    int32_t batch, size, block_panels, backwards;
    struct finish finish;                              /* of the RNN */
};

struct step {
    const void *arguments;
    int32_t kind, units;
};

#endif
