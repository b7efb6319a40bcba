/* Work on rows of floats: elementwise, softmax, layer norm, copies. */

INLINE int64_t last_row(const struct rowwise *s, int64_t begin) {
    return begin + s->block_rows < s->rows ? begin + s->block_rows : s->rows;
}

INLINE vec operand(const float *row, int step, int c, int n) { return step ? load_some(row + c, n) : splat(*row); }

/* A unit of all kinds below is a block of rows. */
static void unary(const void *arguments, int unit, float *scratch) {
    const struct rowwise *s = arguments;
    const int64_t begin = (int64_t)unit * s->block_rows;
    (void)scratch;
    for (int64_t r = begin; r < last_row(s, begin); r++)
        for (int c = 0; c < s->columns; c += LANES) {
            const int n = s->columns - c;
            store_some(s->y + r * s->ld_y + c, activated(load_some(s->a + r * s->ld_a + c, n), &s->finish), n);
        }
}

INLINE vec combined(int operation, vec a, vec b) {
    switch (operation) {
    case ADD: return add(a, b);
    case SUBTRACT: return sub(a, b);
    case MULTIPLY: return mul(a, b);
    case DIVIDE: return divide(a, b);
    case MAXIMUM: return larger(a, b);
    default: return smaller(a, b);
    }
}

static void binary(const void *arguments, int unit, float *scratch) {
    const struct rowwise *s = arguments;
    const int64_t begin = (int64_t)unit * s->block_rows;
    (void)scratch;
    for (int64_t r = begin; r < last_row(s, begin); r++) {
        const float *a = s->a + r * s->ld_a, *b = s->b + r * s->ld_b;
        for (int c = 0; c < s->columns; c += LANES) {
            const int n = s->columns - c;
            const vec v = combined(s->operation, operand(a, s->step_a, c, n), operand(b, s->step_b, c, n));
            store_some(s->y + r * s->ld_y + c, activated(v, &s->finish), n);
        }
    }
}

/* y = finish(a * b + c), b and c one row for all. */
static void affine(const void *arguments, int unit, float *scratch) {
    const struct rowwise *s = arguments;
    const int64_t begin = (int64_t)unit * s->block_rows;
    (void)scratch;
    for (int64_t r = begin; r < last_row(s, begin); r++)
        for (int c = 0; c < s->columns; c += LANES) {
            const int n = s->columns - c;
            const vec v = madd(load_some(s->a + r * s->ld_a + c, n), load_some(s->b + c, n), load_some(s->c + c, n));
            store_some(s->y + r * s->ld_y + c, activated(v, &s->finish), n);
        }
}

/* inf in the lanes beyond the first n, so that what a short row lacks counts as -inf. */
INLINE vec padding(int n) {
    float lanes[LANES];
    for (int i = 0; i < LANES; i++) lanes[i] = i < n ? 0.0f : INFINITY;
    return load(lanes);
}

/* exp(row - max) in place of the row, over their sum; zeros where all are -inf and `masked`. */
INLINE void softmax_row(const float *x, float *y, int columns, int masked) {
    vec highest = splat(-INFINITY), sum = zero();
    for (int c = 0; c < columns; c += LANES) {
        const int n = columns - c;
        highest = n >= LANES ? larger(highest, load(x + c)) : larger(highest, sub(load_first(x + c, n), padding(n)));
    }
    float lanes[LANES], most = -INFINITY;
    store(lanes, highest);
    for (int i = 0; i < LANES; i++) most = lanes[i] > most || lanes[i] != lanes[i] ? lanes[i] : most;
    const vec shift = splat(masked && most == -INFINITY ? 0.0f : most);
    for (int c = 0; c < columns; c += LANES) {
        const int n = columns - c;
        const vec e = exponential(sub(n >= LANES ? load(x + c) : sub(load_first(x + c, n), padding(n)), shift));
        store_some(y + c, e, n);
        sum = add(sum, e);
    }
    const float all = total(sum);
    const vec share = splat(masked && all == 0.0f ? 1.0f : 1.0f / all);
    for (int c = 0; c < columns; c += LANES) store_some(y + c, mul(load_some(y + c, columns - c), share), columns - c);
}

static void softmax(const void *arguments, int unit, float *scratch) {
    const struct rowwise *s = arguments;
    const int64_t begin = (int64_t)unit * s->block_rows;
    (void)scratch;
    for (int64_t r = begin; r < last_row(s, begin); r++) softmax_row(s->a + r * s->ld_a, s->y + r * s->ld_y, s->columns, 0);
}

/* The mean, then the variance about it: two passes, as one would lose digits of rows far from zero. */
INLINE void normalize_row(const struct rowwise *s, const float *x, float *y) {
    const int whole = s->columns / LANES * LANES, rest = s->columns - whole;
    vec sum = rest ? load_first(x + whole, rest) : zero(), squares = zero();
    for (int c = 0; c < whole; c += LANES) sum = add(sum, load(x + c));
    const float mean_value = total(sum) / (float)s->columns;
    const vec center = splat(mean_value);
    for (int c = 0; c < whole; c += LANES) {
        const vec d = sub(load(x + c), center);
        squares = madd(d, d, squares);
    }
    float variance = total(squares);
    for (int c = whole; c < s->columns; c++) variance += (x[c] - mean_value) * (x[c] - mean_value);
    const vec scale = splat(1.0f / sqrtf(variance / (float)s->columns + s->epsilon));
    for (int c = 0; c < s->columns; c += LANES) {
        const int n = s->columns - c;
        vec v = mul(sub(load_some(x + c, n), center), scale);
        if (s->b)
            v = mul(v, load_some(s->b + c, n));
        if (s->c)
            v = add(v, load_some(s->c + c, n));
        store_some(y + c, v, n);
    }
}

static void layer_norm(const void *arguments, int unit, float *scratch) {
    const struct rowwise *s = arguments;
    const int64_t begin = (int64_t)unit * s->block_rows;
    (void)scratch;
    for (int64_t r = begin; r < last_row(s, begin); r++) normalize_row(s, s->a + r * s->ld_a, s->y + r * s->ld_y);
}

/* Planes of a picture, `stride` apart, side by side as `channels` values a pixel. */
INLINE void interleave(const float *x, int64_t stride, int64_t pixels, int channels, float *y) {
    for (int64_t l = 0; l < pixels; l++)
        UNROLL for (int c = 0; c < channels; c++) y[l * channels + c] = x[c * stride + l];
}

/* A unit is one index of the first dim; rows whose floats are neighbours on both sides are moved whole. */
static void copy(const void *arguments, int unit, float *scratch) {
    const struct copy *s = arguments;
    const int64_t *n = s->sizes, *from = s->x_strides, *to = s->y_strides;
    (void)scratch;
    for (int64_t i = 0; i < n[1]; i++)
        for (int64_t j = 0; j < n[2]; j++)
            for (int64_t k = 0; k < n[3]; k++) {
                const float *x = s->x + unit * from[0] + i * from[1] + j * from[2] + k * from[3];
                float *y = s->y + unit * to[0] + i * to[1] + j * to[2] + k * to[3];
                if (from[5] == 1 && to[5] == 1)
                    for (int64_t l = 0; l < n[4]; l++) memcpy(y + l * to[4], x + l * from[4], sizeof(float) * (size_t)n[5]);
                else if (n[5] == 3 && from[4] == 1 && to[4] == 3 && to[5] == 1)
                    interleave(x, from[5], n[4], 3, y);
                else
                    for (int64_t l = 0; l < n[4]; l++)
                        for (int64_t m = 0; m < n[5]; m++) y[l * to[4] + m * to[5]] = x[l * from[4] + m * from[5]];
            }
}
