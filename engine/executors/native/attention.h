/* Attention: the weighted sum of values of a block of queries of one head. */

/* Rows of a matrix to panels [panel][row][vectors * LANES] of its columns. */
static void pack_columns(const float *x, int64_t ld, int rows, int columns, float *out) {
    for (int first = 0; first < columns; first += MAX_VECTORS * LANES)
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < MAX_VECTORS; j++, out += LANES) {
                const int c = first + j * LANES, n = columns - c;
                store(out, n > 0 ? load_some(x + r * ld + c, n) : zero());
            }
}

/* The same of the transposed matrix: panels of its rows. */
static void pack_rows(const float *x, int64_t ld, int rows, int columns, float *out) {
    for (int first = 0; first < rows; first += MAX_VECTORS * LANES)
        for (int c = 0; c < columns; c++)
            for (int j = 0; j < MAX_VECTORS * LANES; j++) *out++ = first + j < rows ? x[(first + j) * ld + c] : 0.0f;
}

/* y = a times packed panels. */
static void multiply_packed(const float *a, int64_t ld_a, int rows, int depth, const float *packed, int columns, float *y,
                            int64_t ld_y) {
    const float *found[MAX_ROWS];
    struct tile t = {.rows = found, .ld_y = ld_y, .taps = 1, .depth = depth, .begins = 1, .ahead = packed};
    for (int first = 0; first < columns; first += MAX_VECTORS * LANES) {
        const int left = columns - first, wanted = (left + LANES - 1) / LANES;
        t.weights = packed + (int64_t)first * depth;
        t.last = at_most_lanes(left - (MAX_VECTORS - 1) * LANES);
        for (int m = 0, n; m < rows; m += n) {
            n = rows_of_next(MAX_VECTORS, rows - m);
            find_flat_rows(a + m * ld_a, ld_a, n, 0, 1, found);
            t.y = y + m * ld_y + first;
            if (wanted >= MAX_VECTORS) {
                run_tile(n, MAX_VECTORS, &t);
            } else { /* a narrow panel goes by way of a buffer, as tiles store all but their last vector whole */
                float whole[MAX_ROWS * MAX_VECTORS * LANES];
                struct tile u = t;
                u.y = whole;
                u.ld_y = MAX_VECTORS * LANES;
                u.last = LANES;
                run_tile(n, MAX_VECTORS, &u);
                for (int i = 0; i < n; i++) memcpy(t.y + i * ld_y, whole + i * u.ld_y, sizeof(float) * (size_t)left);
            }
        }
    }
}

/* Scores of one query: scaled, masked, turned into weights. */
static void weigh(const struct attention *s, float *scores, const float *mask, int query) {
    for (int k = 0; k < s->keys; k++) {
        scores[k] *= s->scale;
        if (s->causal && k > query)
            scores[k] = -INFINITY;
        if (mask)
            scores[k] += mask[k * s->mask_step];
    }
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
    const int width = MAX_VECTORS * LANES;
    const int64_t key_panels = (s->keys + width - 1) / width * width, value_panels = (s->out_depth + width - 1) / width * width;
    float *keys = scratch, *values = keys + key_panels * s->depth, *scores = values + value_panels * s->keys;
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
