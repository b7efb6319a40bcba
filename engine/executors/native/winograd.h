/* 3x3 convolution of stride 1 by F(4x4, 3x3) or F(2x2, 3x3): 36 products of small matrices in place of 9 x 16
 * multiplications, or 16 in place of 9 x 4, with 4 or 1.8 times the weights to read.
 *
 * One unit does a block of tiles from end to end; or the three phases are steps of their own, so that each weight is
 * read once however few tiles there are. `m` is the width of an output tile, m + 2 that of an input tile; images is
 * [(m + 2)^2][tiles][padded_channels], products [(m + 2)^2][tiles][padded_out].
 */
enum { LARGEST = 6 };

/* The points of the interpolation for m = 4 are 0, A, -A, B, -B and infinity. The usual 1 and 2 make an error twice as
 * large. For m = 2 they are 0, 1, -1 and infinity; packing.py makes the weights for the same points. */
#define A 0.625f
#define B 1.5f

/* The input's transform along one dim: coefficients of the products of (x - q) over the other points q. */
INLINE void transform_input(int m, const vec d[LARGEST], vec out[LARGEST]) {
    if (m == 2) {
        out[0] = sub(d[2], d[0]);
        out[1] = add(d[2], d[1]);
        out[2] = sub(d[2], d[1]);
        out[3] = sub(d[3], d[1]);
        return;
    }
    const vec a2 = splat(A * A), b2 = splat(B * B), both = splat(A * A + B * B), product = splat(A * A * B * B);
    const vec even_a = nmadd(b2, d[2], d[4]), odd_a = mul(splat(A), nmadd(b2, d[1], d[3]));
    const vec even_b = nmadd(a2, d[2], d[4]), odd_b = mul(splat(B), nmadd(a2, d[1], d[3]));
    out[0] = madd(product, d[0], nmadd(both, d[2], d[4]));
    out[1] = add(even_a, odd_a);
    out[2] = sub(even_a, odd_a);
    out[3] = add(even_b, odd_b);
    out[4] = sub(even_b, odd_b);
    out[5] = madd(product, d[1], nmadd(both, d[3], d[5]));
}

/* The output's transform along one dim: powers of the points. */
INLINE void transform_output(int m, const vec p[LARGEST], vec out[4]) {
    const vec sum_a = add(p[1], p[2]), difference_a = sub(p[1], p[2]);
    if (m == 2) {
        out[0] = add(p[0], sum_a);
        out[1] = add(difference_a, p[3]);
        return;
    }
    const vec sum_b = add(p[3], p[4]), difference_b = sub(p[3], p[4]);
    out[0] = add(add(p[0], sum_a), sum_b);
    out[1] = madd(splat(B), difference_b, mul(splat(A), difference_a));
    out[2] = madd(splat(B * B), sum_b, mul(splat(A * A), sum_a));
    out[3] = madd(splat(B * B * B), difference_b, madd(splat(A * A * A), difference_a, p[5]));
}

#undef A
#undef B

struct place {
    int image, y, x;
};

INLINE struct place place_of(const struct winograd *s, int tile) {
    const int row = tile / s->tiles_x, image = row / s->tiles_y;
    return (struct place){image, (row - image * s->tiles_y) * s->m, (tile - row * s->tiles_x) * s->m};
}

/* Some pixels of a row of the input, zeros where they lie in the padding. */
INLINE void load_row(const struct winograd *s, int count, const float *row, int x, int c, int n, vec d[LARGEST]) {
    UNROLL for (int k = 0; k < count; k++) {
        const int there = row && (unsigned)(x + k) < (unsigned)s->width;
        d[k] = there ? load_some(row + (int64_t)(x + k) * s->ld_x + c, n) : zero();
    }
}

/* Tiles [begin, end) of the input to `out`, in which one of the parts takes `part` floats. */
INLINE void to_images(const struct winograd *s, int m, int begin, int end, float *out, int64_t part) {
    const int size = m + 2;
    for (int tile = begin; tile < end; tile++, out += s->padded_channels) {
        const struct place p = place_of(s, tile);
        const int y = p.y - s->top, x = p.x - s->left;
        const float *image = s->x + (int64_t)p.image * s->height * s->width * s->ld_x;
        const int whole = y >= 0 && x >= 0 && y + size <= s->height && x + size <= s->width;
        for (int c = 0; c < s->channels; c += LANES) {
            vec rows[LARGEST][LARGEST];
            const int n = s->channels - c;
            for (int i = 0; i < size; i++) {
                vec d[LARGEST];
                const int there = (unsigned)(y + i) < (unsigned)s->height;
                const float *row = there ? image + (int64_t)(y + i) * s->width * s->ld_x : NULL;
                if (whole && n >= LANES)
                    UNROLL for (int k = 0; k < size; k++) d[k] = load(row + (x + k) * s->ld_x + c);
                else
                    load_row(s, size, row, x, c, n, d);
                transform_input(m, d, rows[i]);
            }
            UNROLL for (int j = 0; j < size; j++) {
                vec d[LARGEST], e[LARGEST];
                UNROLL for (int i = 0; i < size; i++) d[i] = rows[i][j];
                transform_input(m, d, e);
                UNROLL for (int i = 0; i < size; i++) store(out + (i * size + j) * part + c, e[i]);
            }
        }
    }
}

/* One of the products: `tiles` rows of images times one panel of weights; the next product comes after. */
static void multiply_images(const struct winograd *s, struct panel p, int part, int tiles, const float *images,
                            float *products, int64_t ld_products) {
    const float *rows[MAX_ROWS];
    const int parts = (s->m + 2) * (s->m + 2), width = p.vectors * LANES;
    struct tile t = {.rows = rows, .ld_y = ld_products, .taps = 1, .depth = s->padded_channels, .last = LANES, .begins = 1};
    t.weights = s->weights + ((int64_t)p.first * parts + (int64_t)part * width) * s->padded_channels;
    const int many = (tiles + FULL_ROWS[p.vectors - 1] - 1) / FULL_ROWS[p.vectors - 1];
    look_ahead(&t, many, p.vectors, t.weights + (int64_t)width * s->padded_channels);
    for (int i = 0, n; i < tiles; i += n) {
        n = rows_of_next(p.vectors, tiles - i);
        find_flat_rows(images + (int64_t)i * s->padded_channels, s->padded_channels, n, 0, 1, rows);
        t.y = products + i * ld_products;
        run_tile(n, p.vectors, &t);
        if (many > 1)
            t.ahead += (int64_t)s->padded_channels * t.advance;
    }
}

/* One vector of channels of one tile from its products to the pixels that exist. */
INLINE void from_products(const struct winograd *s, int m, struct place p, int c, const float *products, int64_t part) {
    const int size = m + 2;
    vec rows[4][LARGEST];
    const int n = s->out_channels - c;
    const int height = s->out_height - p.y < m ? s->out_height - p.y : m;
    const int width = s->out_width - p.x < m ? s->out_width - p.x : m;
    UNROLL for (int k = 0; k < size; k++) {
        vec d[LARGEST], out[4];
        UNROLL for (int i = 0; i < size; i++) d[i] = load(products + (i * size + k) * part);
        transform_output(m, d, out);
        UNROLL for (int i = 0; i < m; i++) rows[i][k] = out[i];
    }
    const vec bias = load(s->bias + c), low = splat(s->finish.low), high = splat(s->finish.high);
    const int64_t pixel = ((int64_t)p.image * s->out_height + p.y) * s->out_width + p.x;
    for (int i = 0; i < height; i++) {
        vec out[4];
        transform_output(m, rows[i], out);
        UNROLL for (int k = 0; k < m; k++) {
            if (k >= width)
                break;
            const int64_t at = pixel + (int64_t)i * s->out_width + k;
            vec v = add(out[k], bias);
            if (s->residual)
                v = add(v, load_some(s->residual + at * s->ld_residual + c, n));
            if (s->finish.activation == CLAMP)
                v = clamped(v, low, high);
            else if (s->finish.activation != IDENTITY)
                v = activated(v, &s->finish);
            store_some(s->y + at * s->ld_y + c, v, n);
        }
    }
}

INLINE int tiles_of(const struct winograd *s) { return s->batch * s->tiles_y * s->tiles_x; }
INLINE int block_end(const struct winograd *s, int begin) {
    return begin + s->block_tiles < tiles_of(s) ? begin + s->block_tiles : tiles_of(s);
}

INLINE void whole_block(const struct winograd *s, int m, int begin, int end, float *scratch) {
    const int parts = (m + 2) * (m + 2);
    const int64_t image_part = (int64_t)s->block_tiles * s->padded_channels;
    float *products = scratch + parts * image_part;
    to_images(s, m, begin, end, scratch, image_part);
    for (int i = 0; i < s->panel_count; i++) {
        const struct panel p = s->panels[i];
        const int64_t ld = p.vectors * LANES, part = s->block_tiles * ld;
        for (int k = 0; k < parts; k++)
            multiply_images(s, p, k, end - begin, scratch + k * image_part, products + k * part, ld);
        for (int tile = begin; tile < end; tile++)
            for (int c = 0; c < p.vectors * LANES && p.first + c < s->out_channels; c += LANES)
                from_products(s, m, place_of(s, tile), p.first + c, products + (tile - begin) * ld + c, part);
    }
}

/* A unit is a block of tiles, from the input to the output. */
static void winograd(const void *arguments, int unit, float *scratch) {
    const struct winograd *s = arguments;
    const int begin = unit * s->block_tiles, end = block_end(s, begin);
    if (s->m == 4)
        whole_block(s, 4, begin, end, scratch);
    else
        whole_block(s, 2, begin, end, scratch);
}

/* A unit is a block of tiles to be transformed. */
static void winograd_input(const void *arguments, int unit, float *scratch) {
    const struct winograd *s = arguments;
    const int begin = unit * s->block_tiles, end = block_end(s, begin);
    float *out = s->images + (int64_t)begin * s->padded_channels;
    const int64_t part = (int64_t)tiles_of(s) * s->padded_channels;
    (void)scratch;
    if (s->m == 4)
        to_images(s, 4, begin, end, out, part);
    else
        to_images(s, 2, begin, end, out, part);
}

/* A unit is one of the products with one panel. */
static void winograd_product(const void *arguments, int unit, float *scratch) {
    const struct winograd *s = arguments;
    const int tiles = tiles_of(s), parts = (s->m + 2) * (s->m + 2), part = unit % parts;
    const struct panel p = s->panels[unit / parts];
    (void)scratch;
    multiply_images(s, p, part, tiles, s->images + (int64_t)part * tiles * s->padded_channels,
                    s->products + (int64_t)part * tiles * s->padded_out + p.first, s->padded_out);
}

/* A unit is a block of tiles to be brought back. */
static void winograd_output(const void *arguments, int unit, float *scratch) {
    const struct winograd *s = arguments;
    const int begin = unit * s->block_tiles, end = block_end(s, begin);
    const int64_t part = (int64_t)tiles_of(s) * s->padded_out;
    (void)scratch;
    for (int tile = begin; tile < end; tile++)
        for (int c = 0; c < s->out_channels; c += LANES) {
            const float *products = s->products + (int64_t)tile * s->padded_out + c;
            if (s->m == 4)
                from_products(s, 4, place_of(s, tile), c, products, part);
            else
                from_products(s, 2, place_of(s, tile), c, products, part);
        }
}
