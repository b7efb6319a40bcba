/* Direct convolution, products of matrices, and depthwise convolution. */

enum { MAX_TAPS = 64 };

/* Where an output pixel's window begins: the image, and the corner's row and column (negative in the padding). */
struct window {
    const float *corner;
    int y, x;
};

INLINE struct window window_of(const float *x, int64_t ld, int pixel, int width, int height, int out_width,
                               int out_height, int stride_y, int stride_x, int top, int left) {
    const int row = pixel / out_width, image = row / out_height;
    struct window w = {x, (row - image * out_height) * stride_y - top, (pixel - row * out_width) * stride_x - left};
    w.corner += (((int64_t)image * height + w.y) * width + w.x) * ld;
    return w;
}

INLINE int inside(const struct window *w, const struct tap *t, int height, int width) {
    return (unsigned)(w->y + t->y) < (unsigned)height && (unsigned)(w->x + t->x) < (unsigned)width;
}

/* The addresses of `rows` pixels' rows of x at `count` taps; in the padding that of a row of zeros. */
static void find_rows(const struct convolution *s, const float *x, int pixel, int rows, int tap, int count,
                      const float **found) {
    for (int m = 0; m < rows; m++) {
        const struct window w = window_of(x, s->ld_x, pixel + m, s->width, s->height, s->out_width, s->out_height,
                                          s->stride_y, s->stride_x, s->top, s->left);
        for (int t = 0; t < count; t++) {
            const struct tap *at = s->taps + tap + t;
            found[t * MAX_ROWS + m] = inside(&w, at, s->height, s->width) ? w.corner + at->offset : s->zeros;
        }
    }
}

/* Rows that lie one pitch apart, at taps that are parts of a row. */
INLINE void find_flat_rows(const float *x, int64_t ld, int rows, int depth, int count, const float **found) {
    for (int t = 0; t < count; t++)
        for (int m = 0; m < rows; m++) found[t * MAX_ROWS + m] = x + m * ld + (int64_t)t * depth;
}

/* What a unit works on at a time: pixels [begin, end) of a group, some taps, and where the input is a plain matrix its
 * rows from these pixels and taps on. */
struct part {
    int group, begin, end, tap, taps;
    const float *flat;
    int64_t ld_flat;
};

INLINE int64_t panel_offset(const struct convolution *s, int group, struct panel p) {
    return group * s->group_weights + (int64_t)p.first * s->tap_count * s->depth;
}

/* The fields of a tile that are the same for all pixels of a panel. */
INLINE struct tile tile_of(const struct convolution *s, int group, struct panel p, int tap) {
    const int valid = s->out_channels - p.first - (p.vectors - 1) * LANES;
    const int padded = (s->out_channels + LANES - 1) / LANES * LANES;
    return (struct tile){
        .weights = s->weights + panel_offset(s, group, p) + (int64_t)tap * s->depth * p.vectors * LANES,
        .bias = s->bias + (int64_t)group * padded + p.first,
        .ld_y = s->ld_y, .ld_residual = s->ld_residual, .depth = s->depth, .last = at_most_lanes(valid),
    };
}

INLINE void place_tile(const struct convolution *s, int pixel, int channel, struct tile *t) {
    t->y = s->y + pixel * s->ld_y + channel;
    t->residual = s->residual ? s->residual + pixel * s->ld_residual + channel : NULL;
}

/* The pixels and taps of a part by one panel; `next` are the weights that come after it. */
static void convolve_panel(const struct convolution *s, const struct part *part, struct panel p, const float *next) {
    const float *rows[MAX_TAPS * MAX_ROWS];
    const float *x = s->x + (int64_t)part->group * s->channels;
    struct tile t = tile_of(s, part->group, p, part->tap);
    t.rows = rows;
    t.taps = part->taps;
    t.begins = part->tap == 0;
    t.finish = part->tap + part->taps == s->tap_count ? &s->finish : NULL;
    const int tiles = (part->end - part->begin + FULL_ROWS[p.vectors - 1] - 1) / FULL_ROWS[p.vectors - 1];
    look_ahead(&t, tiles, p.vectors, next);
    for (int m = part->begin, n; m < part->end; m += n) {
        n = rows_of_next(p.vectors, part->end - m);
        if (part->flat)
            find_flat_rows(part->flat + (m - part->begin) * part->ld_flat, part->ld_flat, n, s->depth, t.taps, rows);
        else
            find_rows(s, x, m, n, part->tap, t.taps, rows);
        place_tile(s, m, part->group * s->out_channels + p.first, &t);
        run_tile(n, p.vectors, &t);
        if (tiles > 1)
            t.ahead += (int64_t)t.taps * s->depth * t.advance;
    }
}

/* Some pixels' channels [first, first + count), each kept between its bounds. */
static void clip_rows(const struct convolution *s, const struct part *part, int first, int count, float *out) {
    for (int m = part->begin; m < part->end; m++, out += count) {
        const float *x = s->x + m * s->ld_x + first;
        for (int c = 0; c < count; c += LANES) {
            const int n = count - c;
            const vec low = load_some(s->low + first + c, n), high = load_some(s->high + first + c, n);
            store_some(out + c, clamped(load_some(x + c, n), low, high), n);
        }
    }
}

/* Panel by panel, for each all taps: its weights are read once and the output's pixels stay near. */
static void convolve_by_panels(const struct convolution *s, struct part part, int first, int end) {
    const float *flat = part.flat;
    for (int i = first; i < end; i++) {
        const struct panel p = s->panels[i];
        const int64_t line = (int64_t)s->depth * p.vectors * LANES;
        const float *weights = s->weights + panel_offset(s, part.group, p);
        for (part.tap = 0; part.tap < s->tap_count; part.tap += s->block_taps) {
            part.taps = s->tap_count - part.tap < s->block_taps ? s->tap_count - part.tap : s->block_taps;
            const int after = part.tap + part.taps;
            part.flat = flat ? flat + (int64_t)part.tap * s->depth : NULL;
            convolve_panel(s, &part, p, weights + after * line);
        }
    }
}

/* Some taps at a time, for these all panels: what is clipped once serves every panel while it is near. */
static void convolve_by_taps(const struct convolution *s, struct part part, float *scratch) {
    for (part.tap = 0; part.tap < s->tap_count; part.tap += s->block_taps) {
        part.taps = s->tap_count - part.tap < s->block_taps ? s->tap_count - part.tap : s->block_taps;
        const int after = (part.tap + part.taps) % s->tap_count;
        part.flat = scratch;
        part.ld_flat = part.taps * s->depth;
        clip_rows(s, &part, part.tap * s->depth, part.taps * s->depth, scratch);
        for (int i = 0; i < s->panel_count; i++) {
            const struct panel *p = s->panels + i, *q = i + 1 < s->panel_count ? p + 1 : s->panels;
            convolve_panel(s, &part, *p, tile_of(s, part.group, *q, i + 1 < s->panel_count ? part.tap : after).weights);
        }
    }
}

/* One row of a matrix by some panels. */
static void convolve_row(const struct convolution *s, const struct part *part, int first, int end) {
    for (int i = first; i < end; i++) {
        const struct panel p = s->panels[i];
        struct tile t = tile_of(s, part->group, p, 0);
        t.finish = &s->finish;
        place_tile(s, part->begin, part->group * s->out_channels + p.first, &t);
        run_stream(p.vectors, &t, part->flat, s->tap_count * s->depth);
    }
}

/* A unit is a block of pixels of some panels of one group; panels change fastest, so that a thread stays with its part
 * of the images from step to step. */
static void convolution(const void *arguments, int unit, float *scratch) {
    const struct convolution *s = arguments;
    const int pixels = s->batch * s->out_height * s->out_width;
    const int blocks = (pixels + s->block_pixels - 1) / s->block_pixels;
    const int shares = (s->panel_count + s->block_panels - 1) / s->block_panels;
    const int block = unit / shares % blocks, first = unit % shares * s->block_panels;
    const int end = first + s->block_panels < s->panel_count ? first + s->block_panels : s->panel_count;
    struct part part = {.group = unit / (blocks * shares), .begin = block * s->block_pixels, .ld_flat = s->ld_x};
    part.end = part.begin + s->block_pixels < pixels ? part.begin + s->block_pixels : pixels;
    part.flat = s->flat ? s->x + (int64_t)part.group * s->channels + part.begin * s->ld_x : NULL;
    if (s->low)
        convolve_by_taps(s, part, scratch);
    else if (s->flat && part.end - part.begin == 1)
        convolve_row(s, &part, first, end);
    else
        convolve_by_panels(s, part, first, end);
}

enum { PIXELS = 4 };

/* Some neighbouring pixels of one vector of channels: each tap's weights are loaded once for all of them. */
INLINE void depthwise_pixels(const struct depthwise *s, const struct window *w, int pixel, int count, int c, int n) {
    vec sum[PIXELS];
    UNROLL for (int m = 0; m < PIXELS; m++) sum[m] = load(s->bias + c);
    for (int t = 0; t < s->tap_count; t++) {
        const vec weight = load(s->weights + t * s->ld_weights + c);
        UNROLL for (int m = 0; m < PIXELS; m++) {
            const float *x = inside(w + m, s->taps + t, s->height, s->width) ? w[m].corner + s->taps[t].offset + c : s->zeros;
            sum[m] = madd(load_some(x, n), weight, sum[m]);
        }
    }
    for (int m = 0; m < count; m++) {
        const int64_t at = pixel + m;
        vec v = sum[m];
        if (s->residual)
            v = add(v, load_some(s->residual + at * s->ld_residual + c, n));
        store_some(s->y + at * s->ld_y + c, activated(v, &s->finish), n);
    }
}

/* Where the 3x3 windows of PIXELS pixels of a row read: each column once, although neighbours share it. */
enum { COLUMNS = 3 + 2 * (PIXELS - 1) };

INLINE void find_columns(const struct depthwise *s, int row, int column, const float *found[3][COLUMNS]) {
    const int image = row / s->out_height, top = (row - image * s->out_height) * s->stride_y - s->top;
    const int left = column * s->stride_x - s->left;
    for (int y = 0; y < 3; y++)
        for (int k = 0; k < 3 + s->stride_x * (PIXELS - 1); k++) {
            const int within = (unsigned)(top + y) < (unsigned)s->height && (unsigned)(left + k) < (unsigned)s->width;
            const int64_t at = ((int64_t)image * s->height + top + y) * s->width + left + k;
            found[y][k] = within ? s->x + at * s->ld_x : s->zeros;
        }
}

/* Up to PIXELS pixels by a 3x3 filter, n channels from c on. What the next pixels read that no row before has, is brought near. */
INLINE void filter_3x3(const struct depthwise *s, const float *const found[3][COLUMNS], int pixel, int count, int stride,
                       int c, int n) {
    const vec low = splat(s->finish.low), high = splat(s->finish.high);
    const int64_t ahead = PIXELS * stride * s->ld_x;
    vec sum[PIXELS];
    UNROLL for (int m = 0; m < PIXELS; m++) sum[m] = load(s->bias + c);
    UNROLL for (int y = 0; y < 3; y++) {
        vec w[3];
        UNROLL for (int t = 0; t < 3; t++) w[t] = load(s->weights + (3 * y + t) * s->ld_weights + c);
        UNROLL for (int k = 0; k < 3 + stride * (PIXELS - 1); k++) {
            const vec x = load_some(found[y][k] + c, n);
            if (y >= 3 - stride && k >= 3 - stride)
                __builtin_prefetch(found[y][k] + c + ahead, 0, 2);
            UNROLL for (int m = 0; m < PIXELS; m++)
                if (k >= m * stride && k < m * stride + 3)
                    sum[m] = madd(x, w[k - m * stride], sum[m]);
        }
    }
    UNROLL for (int m = 0; m < PIXELS; m++) {
        if (m >= count)
            break;
        const int64_t at = pixel + m;
        vec v = s->residual ? add(sum[m], load_some(s->residual + at * s->ld_residual + c, n)) : sum[m];
        v = is_clamp(&s->finish) ? clamped(v, low, high) : activated(v, &s->finish);
        store_some(s->y + at * s->ld_y + c, v, n);
    }
}

INLINE void depthwise_3x3(const struct depthwise *s, int row, int stride) {
    const int whole = s->channels / LANES * LANES;
    for (int column = 0; column < s->out_width; column += PIXELS) {
        const int count = s->out_width - column < PIXELS ? s->out_width - column : PIXELS;
        const int pixel = row * s->out_width + column;
        const float *found[3][COLUMNS];
        find_columns(s, row, column, found);
        for (int c = 0; c < whole; c += LANES) filter_3x3(s, found, pixel, count, stride, c, LANES);
        if (whole < s->channels)
            filter_3x3(s, found, pixel, count, stride, whole, s->channels - whole);
    }
}

/* A unit is a row of output pixels. */
static void depthwise(const void *arguments, int unit, float *scratch) {
    const struct depthwise *s = arguments;
    (void)scratch;
    if (s->tap_count == 9 && s->taps[8].y == 2 && s->taps[8].x == 2 && s->stride_x <= 2) {
        if (s->stride_x == 1)
            depthwise_3x3(s, unit, 1);
        else
            depthwise_3x3(s, unit, 2);
        return;
    }
    for (int column = 0; column < s->out_width; column += PIXELS) {
        const int count = s->out_width - column < PIXELS ? s->out_width - column : PIXELS;
        const int pixel = unit * s->out_width + column;
        struct window w[PIXELS];
        for (int m = 0; m < PIXELS; m++)
            w[m] = window_of(s->x, s->ld_x, pixel + (m < count ? m : 0), s->width, s->height, s->out_width,
                             s->out_height, s->stride_y, s->stride_x, s->top, s->left);
        for (int c = 0; c < s->channels; c += LANES)
            depthwise_pixels(s, w, pixel, count, c, at_most_lanes(s->channels - c));
    }
}
