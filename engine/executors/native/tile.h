/* The register tile: some rows of x times a panel of weights, the inner loop of every product and convolution.
 *
 * rows[tap * MAX_ROWS + m] is where row m is read at a tap. All loops over the sums are unrolled: an array that is
 * indexed by a variable would live on the stack. Four vectors are taken two at a time, so that seven rows fit.
 */
enum { LINE_FLOATS = 16, NEAR_FLOATS = 512, STREAM_FLOATS = 128 };

struct tile {
    const float *const *rows;
    const float *weights, *bias, *residual;
    const float *ahead;           /* the weights to come, brought near meanwhile: a line here and one `gap` further */
    int64_t gap;                  /* for each float of depth, moving on by `advance` floats */
    int advance;
    float *y;
    int64_t ld_y, ld_residual;
    int taps, depth;
    int last;                     /* valid floats of the last vector */
    int begins;                   /* start with the bias, not with what y holds */
    const struct finish *finish;  /* NULL while further taps are to come */
};

INLINE void multiply_panel(vec sum[MAX_ROWS][MAX_VECTORS], int rows, int vectors, const float *const *a, int c,
                           const float *w) {
    const int together = vectors == 4 ? 2 : vectors;
    UNROLL for (int h = 0; h < vectors; h += together) {
        vec b[MAX_VECTORS];
        UNROLL for (int j = 0; j < together; j++) b[j] = load(w + (h + j) * LANES);
        UNROLL for (int m = 0; m < rows; m++) {
            const vec s = splat(a[m][c]);
            UNROLL for (int j = 0; j < together; j++) sum[m][h + j] = madd(s, b[j], sum[m][h + j]);
        }
        if (vectors == 4)
            __asm__ volatile("" ::: "memory"); /* keeps the halves apart, or the tile spills */
    }
}

INLINE void finish_tile(vec sum[MAX_ROWS][MAX_VECTORS], int rows, int vectors, const struct tile *t) {
    const struct finish *f = t->finish;
    if (f && t->residual)
        UNROLL for (int m = 0; m < rows; m++)
            UNROLL for (int j = 0; j < vectors; j++)
                sum[m][j] = add(sum[m][j], load_some(t->residual + m * t->ld_residual + j * LANES,
                                                     j == vectors - 1 ? t->last : LANES));
    if (f && f->activation == CLAMP) {
        const vec low = splat(f->low), high = splat(f->high);
        UNROLL for (int m = 0; m < rows; m++)
            UNROLL for (int j = 0; j < vectors; j++) sum[m][j] = clamped(sum[m][j], low, high);
    }
    UNROLL for (int m = 0; m < rows; m++)
        UNROLL for (int j = 0; j < vectors; j++)
            store_some(t->y + m * t->ld_y + j * LANES, sum[m][j], j == vectors - 1 ? t->last : LANES);
    if (f && f->activation > CLAMP)
        for (int m = 0; m < rows; m++)
            for (int j = 0; j < vectors; j++) {
                float *y = t->y + m * t->ld_y + j * LANES;
                const int n = j == vectors - 1 ? t->last : LANES;
                store_some(y, activated(load_some(y, n), f), n);
            }
}

INLINE void compute_tile(int rows, int vectors, const struct tile *t) {
    vec sum[MAX_ROWS][MAX_VECTORS];
    UNROLL for (int m = 0; m < rows; m++)
        UNROLL for (int j = 0; j < vectors; j++) {
            if (!t->begins)
                sum[m][j] = load_some(t->y + m * t->ld_y + j * LANES, j == vectors - 1 ? t->last : LANES);
            else
                sum[m][j] = t->bias ? load(t->bias + j * LANES) : zero();
        }
    const float *w = t->weights, *ahead = t->ahead;
    for (int tap = 0; tap < t->taps; tap++) {
        const float *a[MAX_ROWS];
        UNROLL for (int m = 0; m < rows; m++) a[m] = t->rows[tap * MAX_ROWS + m];
        for (int c = 0; c < t->depth; c++, w += vectors * LANES, ahead += t->advance) {
            __builtin_prefetch(ahead, 0, 2);
            __builtin_prefetch(ahead + t->gap, 0, 2);
            multiply_panel(sum, rows, vectors, a, c, w);
        }
    }
    finish_tile(sum, rows, vectors, t);
}

#define TILE(rows, vectors) \
    static __attribute__((noinline)) void tile_##rows##x##vectors(const struct tile *t) { compute_tile(rows, vectors, t); }

typedef void (*tile_function)(const struct tile *);

#if WIDTH == 512
TILE(1, 1) TILE(2, 1) TILE(4, 1) TILE(8, 1) TILE(14, 1)
TILE(1, 2) TILE(2, 2) TILE(4, 2) TILE(8, 2) TILE(14, 2)
TILE(1, 3) TILE(2, 3) TILE(4, 3) TILE(8, 3)
TILE(1, 4) TILE(2, 4) TILE(4, 4) TILE(7, 4)
static const struct { int rows; tile_function run; } TILES[MAX_VECTORS][5] = {
    {{1, tile_1x1}, {2, tile_2x1}, {4, tile_4x1}, {8, tile_8x1}, {14, tile_14x1}},
    {{1, tile_1x2}, {2, tile_2x2}, {4, tile_4x2}, {8, tile_8x2}, {14, tile_14x2}},
    {{1, tile_1x3}, {2, tile_2x3}, {4, tile_4x3}, {8, tile_8x3}},
    {{1, tile_1x4}, {2, tile_2x4}, {4, tile_4x4}, {7, tile_7x4}},
};
static const int FULL_ROWS[MAX_VECTORS] = {14, 14, 8, 7};
#else
TILE(1, 1) TILE(2, 1) TILE(4, 1) TILE(8, 1)
TILE(1, 2) TILE(2, 2) TILE(4, 2) TILE(6, 2)
TILE(1, 3) TILE(2, 3) TILE(4, 3)
static const struct { int rows; tile_function run; } TILES[MAX_VECTORS][5] = {
    {{1, tile_1x1}, {2, tile_2x1}, {4, tile_4x1}, {8, tile_8x1}},
    {{1, tile_1x2}, {2, tile_2x2}, {4, tile_4x2}, {6, tile_6x2}},
    {{1, tile_1x3}, {2, tile_2x3}, {4, tile_4x3}},
};
static const int FULL_ROWS[MAX_VECTORS] = {8, 6, 4};
#endif
#undef TILE

/* Say what weights to bring near while `tiles` tiles work on a block: with several tiles those of `next`, which is used
 * after it, spread evenly, as a burst would hold up the loads; one tile goes too fast for that: its own, further on. */
INLINE void look_ahead(struct tile *t, int tiles, int vectors, const float *next) {
    t->advance = (vectors * LANES + tiles - 1) / tiles;
    t->ahead = tiles > 1 ? next : t->weights + NEAR_FLOATS;
    t->gap = tiles > 3 ? 0 : tiles > 1 ? LINE_FLOATS : 2 * LINE_FLOATS;
}

/* One row by a panel: nothing is used twice, so that memory sets the pace, and four streams get more from it than one;
 * what passes by is kept out of the second-level cache (hint 0), where the weights of the next run may wait. */
INLINE void stream_row(int vectors, const struct tile *t, const float *a, int depth) {
    enum { STREAMS = 4 };
    const int quarter = depth / STREAMS, width = vectors * LANES;
    vec sum[MAX_ROWS][MAX_VECTORS];
    UNROLL for (int s = 0; s < STREAMS; s++)
        UNROLL for (int j = 0; j < vectors; j++) sum[s][j] = zero();
    for (int c = 0; c < quarter; c++)
        UNROLL for (int s = 0; s < STREAMS; s++) {
            const vec x = splat(a[s * quarter + c]);
            const float *w = t->weights + ((int64_t)s * quarter + c) * width;
            UNROLL for (int line = 0; line < vectors * LANES; line += LINE_FLOATS)
                __builtin_prefetch(w + STREAM_FLOATS + line, 0, 0);
            UNROLL for (int j = 0; j < vectors; j++) sum[s][j] = madd(x, load(w + j * LANES), sum[s][j]);
        }
    for (int c = STREAMS * quarter; c < depth; c++)
        UNROLL for (int j = 0; j < vectors; j++)
            sum[0][j] = madd(splat(a[c]), load(t->weights + (int64_t)c * width + j * LANES), sum[0][j]);
    UNROLL for (int j = 0; j < vectors; j++)
        sum[0][j] = add(add(add(sum[0][j], sum[1][j]), add(sum[2][j], sum[3][j])), load(t->bias + j * LANES));
    finish_tile(sum, 1, vectors, t);
}

static void run_stream(int vectors, const struct tile *t, const float *a, int depth) {
    switch (vectors) {
    case 1: stream_row(1, t, a, depth); break;
    case 2: stream_row(2, t, a, depth); break;
    case 3: stream_row(3, t, a, depth); break;
#if WIDTH == 512
    default: stream_row(4, t, a, depth);
#endif
    }
}

/* How many of `left` rows the next tile takes: the full tile, or the largest one that fits. */
INLINE int rows_of_next(int vectors, int left) {
    int rows = 1;
    for (int i = 0; i < 5 && TILES[vectors - 1][i].run; i++)
        if (TILES[vectors - 1][i].rows <= left)
            rows = TILES[vectors - 1][i].rows;
    return rows;
}

INLINE void run_tile(int rows, int vectors, const struct tile *t) {
    for (int i = 0; i < 5; i++)
        if (TILES[vectors - 1][i].rows == rows) {
            TILES[vectors - 1][i].run(t);
            return;
        }
}
