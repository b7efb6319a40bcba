/* 3x3 convolution of stride 1 by F(4x4, 3x3): 36 products of small matrices instead of 9 x 16 multiplications.
 *
 * One unit does a block of tiles from end to end; or the three phases are steps of their own, so that each weight is
 * read once however few tiles there are. images is [36][tiles][padded_channels], products [36][tiles][padded_out].
 */

/* The points of the interpolation are 0, A, -A, B, -B and infinity. The usual 1 and 2 make an error twice as large;
 * packing.py makes the weights for the same points. */
#define A 0.625f
#define B 1.5f

/* The input's transform along one dim: coefficients of the products of (x - q) over the other points q. */
INLINE void transform_input(const vec d[6], vec out[6]) {
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
INLINE void transform_output(const vec m[6], vec out[4]) {
    const vec sum_a = add(m[1], m[2]), difference_a = sub(m[1], m[2]);
    const vec sum_b = add(m[3], m[4]), difference_b = sub(m[3], m[4]);
    out[0] = add(add(m[0], sum_a), sum_b);
    out[1] = madd(splat(B), difference_b, mul(splat(A), difference_a));
    out[2] = madd(splat(B * B), sum_b, mul(splat(A * A), sum_a));
    out[3] = madd(splat(B * B * B), difference_b, madd(splat(A * A * A), difference_a, m[5]));
}

#undef A
#undef B

struct place {
    int image, y, x;
};

INLINE struct place place_of(const struct winograd *s, int tile) {
    const int row = tile / s->tiles_x, image = row / s->tiles_y;
    return (struct place){image, (row - image * s->tiles_y) * 4, (tile - row * s->tiles_x) * 4};
}

/* Six pixels of a row of the input, zeros where they lie in the padding. */
INLINE void load_six(const struct winograd *s, const float *row, int x, int c, int n, vec d[6]) {
    UNROLL for (int k = 0; k < 6; k++) {
        const int there = row && (unsigned)(x + k) < (unsigned)s->width;
        d[k] = there ? load_some(row + (int64_t)(x + k) * s->ld_x + c, n) : zero();
    }
}

/* Tiles [begin, end) of the input to `out`, in which one of the 36 parts takes `part` floats. */
static void to_images(const struct winograd *s, int begin, int end, float *out, int64_t part) {
    for (int tile = begin; tile < end; tile++, out += s->padded_channels) {
        const struct place p = place_of(s, tile);
        const int y = p.y - s->top, x = p.x - s->left;
        const float *image = s->x + (int64_t)p.image * s->height * s->width * s->ld_x;
        const int whole = y >= 0 && x >= 0 && y + 6 <= s->height && x + 6 <= s->width;
        for (int c = 0; c < s->channels; c += LANES) {
            vec rows[6][6];
            const int n = s->channels - c;
            for (int i = 0; i < 6; i++) {
                vec d[6];
                const float *row = (unsigned)(y + i) < (unsigned)s->height ? image + (int64_t)(y + i) * s->width * s->ld_x : NULL;
                if (whole && n >= LANES)
                    UNROLL for (int k = 0; k < 6; k++) d[k] = load(row + (x + k) * s->ld_x + c);
                else
                    load_six(s, row, x, c, n, d);
                transform_input(d, rows[i]);
            }
            UNROLL for (int j = 0; j < 6; j++) {
                const vec d[6] = {rows[0][j], rows[1][j], rows[2][j], rows[3][j], rows[4][j], rows[5][j]};
                vec e[6];
                transform_input(d, e);
                UNROLL for (int i = 0; i < 6; i++) store(out + (i * 6 + j) * part + c, e[i]);
            }
        }
    }
}

/* One of the 36 products: `tiles` rows of images times one panel of weights; the one `stride` further is to come. */
static void multiply_images(const struct winograd *s, struct panel p, int part, int tiles, const float *images,
                            float *products, int64_t ld_products, int stride) {
    const float *rows[MAX_ROWS];
    struct tile t = {.rows = rows, .ld_y = ld_products, .taps = 1, .depth = s->padded_channels, .last = LANES, .begins = 1};
    t.weights = s->weights + ((int64_t)p.first * 36 + (int64_t)part * p.vectors * LANES) * s->padded_channels;
    const int many = (tiles + FULL_ROWS[p.vectors - 1] - 1) / FULL_ROWS[p.vectors - 1];
    look_ahead(&t, many, p.vectors, t.weights + (int64_t)stride * p.vectors * LANES * s->padded_channels);
    for (int m = 0, n; m < tiles; m += n) {
        n = rows_of_next(p.vectors, tiles - m);
        find_flat_rows(images + (int64_t)m * s->padded_channels, s->padded_channels, n, 0, 0, 1, rows);
        t.y = products + m * ld_products;
        run_tile(n, p.vectors, &t);
        if (many > 1)
            t.ahead += (int64_t)s->padded_channels * t.advance;
    }
}

/* One vector of channels of one tile from its 36 products to the pixels that exist. */
INLINE void from_products(const struct winograd *s, struct place p, int c, const float *products, int64_t part) {
    vec rows[4][6];
    const int n = s->out_channels - c;
    const int height = s->out_height - p.y < 4 ? s->out_height - p.y : 4;
    const int width = s->out_width - p.x < 4 ? s->out_width - p.x : 4;
    UNROLL for (int k = 0; k < 6; k++) {
        vec m[6], out[4];
        UNROLL for (int i = 0; i < 6; i++) m[i] = load(products + (i * 6 + k) * part);
        transform_output(m, out);
        UNROLL for (int i = 0; i < 4; i++) rows[i][k] = out[i];
    }
    const vec bias = load(s->bias + c), low = splat(s->finish.low), high = splat(s->finish.high);
    const int64_t pixel = ((int64_t)p.image * s->out_height + p.y) * s->out_width + p.x;
    for (int i = 0; i < height; i++) {
        vec out[4];
        transform_output(rows[i], out);
        UNROLL for (int k = 0; k < 4; k++) {
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

/* A unit is a block of tiles, from the input to the output. */
static void winograd(const void *arguments, int unit, float *scratch) {
    const struct winograd *s = arguments;
    const int begin = unit * s->block_tiles, end = block_end(s, begin);
    const int64_t image_part = (int64_t)s->block_tiles * s->padded_channels;
    float *products = scratch + 36 * image_part;
    to_images(s, begin, end, scratch, image_part);
    for (int i = 0; i < s->panel_count; i++) {
        const struct panel p = s->panels[i];
        const int64_t ld = p.vectors * LANES, part = s->block_tiles * ld;
        for (int k = 0; k < 36; k++)
            multiply_images(s, p, k, end - begin, scratch + k * image_part, products + k * part, ld, 1);
        for (int tile = begin; tile < end; tile++)
            for (int c = 0; c < p.vectors * LANES && p.first + c < s->out_channels; c += LANES)
                from_products(s, place_of(s, tile), p.first + c, products + (tile - begin) * ld + c, part);
    }
}

/* A unit is a block of tiles to be transformed. */
static void winograd_input(const void *arguments, int unit, float *scratch) {
    const struct winograd *s = arguments;
    const int begin = unit * s->block_tiles;
    (void)scratch;
    to_images(s, begin, block_end(s, begin), s->images + (int64_t)begin * s->padded_channels,
              (int64_t)tiles_of(s) * s->padded_channels);
}

/* A unit is one of the 36 products with one panel. */
static void winograd_product(const void *arguments, int unit, float *scratch) {
    const struct winograd *s = arguments;
    const int tiles = tiles_of(s), part = unit % 36;
    const struct panel p = s->panels[unit / 36];
    (void)scratch;
    multiply_images(s, p, part, tiles, s->images + (int64_t)part * tiles * s->padded_channels,
                    s->products + (int64_t)part * tiles * s->padded_out + p.first, s->padded_out, s->part_stride);
}

/* A unit is a block of tiles to be brought back. */
static void winograd_output(const void *arguments, int unit, float *scratch) {
    const struct winograd *s = arguments;
    const int begin = unit * s->block_tiles, end = block_end(s, begin);
    const int64_t part = (int64_t)tiles_of(s) * s->padded_out;
    (void)scratch;
    for (int tile = begin; tile < end; tile++)
        for (int c = 0; c < s->out_channels; c += LANES)
            from_products(s, place_of(s, tile), c, s->products + (int64_t)tile * s->padded_out + c, part);
}
