/* Attention: the weighted sum of values of a block of queries of one head. */

/* The vectors of a panel for so many columns: no more than these fill. */
INLINE int panel_vectors(int columns) {
    const int vectors = (columns + LANES - 1) / LANES;
    return vectors < MAX_VECTORS ? vectors : MAX_VECTORS;
}

INLINE int64_t padded_to_panels(int columns) {
    const int width = panel_vectors(columns) * LANES;
    return (columns + width - 1) / width * width;
}

/* A matrix to panels [panel][row][width] of its columns, zeros beyond the last one. */
static void pack_columns(const float *x, int64_t ld, int rows, int columns, float *out) {
    const int width = panel_vectors(columns) * LANES;
    for (int first = 0; first < columns; first += width)
        for (int r = 0; r < rows; r++)
            for (int c = first; c < first + width; c += LANES, out += LANES)
                store(out, c < columns ? load_some(x + r * ld + c, columns - c) : zero());
}

/* The same of the transposed matrix: panels of its rows. */
static void pack_rows(const float *x, int64_t ld, int rows, int columns, float *out) {
    const int width = panel_vectors(rows) * LANES;
    for (int first = 0; first < rows; first += width, out += (int64_t)width * columns)
        for (int r = 0; r < width; r++) {
            const float *row = x + (first + r) * ld;
            if (first + r < rows)
                for (int c = 0; c < columns; c++) out[(int64_t)c * width + r] = row[c];
            else
                for (int c = 0; c < columns; c++) out[(int64_t)c * width + r] = 0.0f;
        }
}

/* y = a times packed panels. Tiles store all but their last vector whole, so that a narrower rest takes a detour. */
static void multiply_packed(const float *a, int64_t ld_a, int rows, int depth, const float *packed, int columns, float *y,
                            int64_t ld_y) {
    const int vectors = panel_vectors(columns), width = vectors * LANES;
    const float *found[MAX_ROWS];
    float whole[MAX_ROWS * MAX_VECTORS * LANES];
    for (int first = 0; first < columns; first += width) {
        const int left = columns - first, fits = left > width - LANES;
        struct tile t = {.rows = found, .weights = packed + (int64_t)first * depth, .ahead = packed, .taps = 1,
                         .depth = depth, .begins = 1, .y = whole, .ld_y = fits ? ld_y : width,
                         .last = fits ? at_most_lanes(left - width + LANES) : LANES};
        for (int m = 0, n; m < rows; m += n) {
            n = rows_of_next(vectors, rows - m);
            find_flat_rows(a + m * ld_a, ld_a, n, 0, 1, found);
            float *to = y + m * ld_y + first;
            if (fits)
                t.y = to;
            run_tile(n, vectors, &t);
            for (int i = 0; i < n && !fits; i++) memcpy(to + i * ld_y, whole + i * width, sizeof(float) * (size_t)left);
        }
    }
}

/* Scores of one query: scaled, masked, turned into weights. */
static void weigh(const struct attention *s, float *scores, const float *mask, int query) {
    const vec scale = splat(s->scale);
    for (int k = 0; k < s->keys; k += LANES) {
        const int n = s->keys - k;
        vec v = mul(load_some(scores + k, n), scale);
        if (mask && s->mask_step == 1)
            v = add(v, load_some(mask + k, n));
        store_some(scores + k, v, n);
    }
    for (int k = 0; mask && s->mask_step != 1 && k < s->keys; k++) scores[k] += mask[k * s->mask_step];
    for (int k = query + 1; s->causal && k < s->keys; k++) scores[k] = -INFINITY;
    softmax_row(scores, scores, s->keys, 1);
}

INLINE int64_t at(const int64_t strides[3], int batch, int head, int row) {
    return batch * strides[0] + head * strides[1] + row * strides[2];
}

static void attention(const void *arguments, int unit, float *scratch) {
    const struct attention *s = arguments;
    const int blocks = (s->queries + s->block_queries - 1) / s->block_queries;
    const int batch = unit / blocks / s->heads, head = unit / blocks % s->heads, first = unit % blocks * s->block_queries;
    const int count = s->queries - first < s->block_queries ? s->queries - first : s->block_queries;
    float *keys = scratch, *values = keys + padded_to_panels(s->keys) * s->depth;
    float *scores = values + padded_to_panels(s->out_depth) * s->keys;
    pack_rows(s->k + at(s->k_strides, batch, head, 0), s->k_strides[2], s->keys, s->depth, keys);
    pack_columns(s->v + at(s->v_strides, batch, head, 0), s->v_strides[2], s->keys, s->out_depth, values);
    multiply_packed(s->q + at(s->q_strides, batch, head, first), s->q_strides[2], count, s->depth, keys, s->keys, scores,
                    s->keys);
    for (int i = 0; i < count; i++)
        weigh(s, scores + (int64_t)i * s->keys,
              s->mask ? s->mask + at(s->mask_strides, batch, head, first + i) : NULL, first + i);
    multiply_packed(scores, s->keys, count, s->keys, values, s->out_depth, s->y + at(s->y_strides, batch, head, first),
                    s->y_strides[2]);
}
