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
INLINE void find_flat_rows(const float *x, int64_t ld, int rows, int depth, int tap, int count, const float **found) {
    for (int t = 0; t < count; t++)
        for (int m = 0; m < rows; m++) found[t * MAX_ROWS + m] = x + m * ld + (int64_t)(tap + t) * depth;
}

/* Pixels [begin, end) of one panel of one group. `flat` is where pixel `begin` lies, if the input is a plain matrix. */
static void convolve_panel(const struct convolution *s, int group, struct panel p, int begin, int end,
                           const float *flat, int64_t ld_flat) {
    const float *x = s->x + (int64_t)group * s->channels;
    const float *weights = s->weights + group * s->group_weights + (int64_t)p.first * s->tap_count * s->depth;
    const int channel = group * s->out_channels + p.first;
    const int valid = s->out_channels - p.first - (p.vectors - 1) * LANES;
    const float *rows[MAX_TAPS * MAX_ROWS];
    struct tile t = {.rows = rows, .ld_y = s->ld_y, .ld_residual = s->ld_residual, .depth = s->depth,
                     .last = at_most_lanes(valid)};
    t.bias = s->bias + (int64_t)group * ((s->out_channels + LANES - 1) / LANES * LANES) + p.first;
    if (flat && end - begin == 1) {
        t.weights = weights;
        t.finish = &s->finish;
        t.y = s->y + begin * s->ld_y + channel;
        t.residual = s->residual ? s->residual + begin * s->ld_residual + channel : NULL;
        run_stream(p.vectors, &t, flat, s->tap_count * s->depth);
        return;
    }
    const int tiles = (end - begin + FULL_ROWS[p.vectors - 1] - 1) / FULL_ROWS[p.vectors - 1];
    const int64_t width = p.vectors * LANES, whole = (int64_t)s->tap_count * s->depth * width;
    for (int tap = 0; tap < s->tap_count; tap += s->block_taps) {
        t.taps = s->tap_count - tap < s->block_taps ? s->tap_count - tap : s->block_taps;
        t.weights = weights + (int64_t)tap * s->depth * width;
        t.begins = tap == 0;
        t.finish = tap + t.taps == s->tap_count ? &s->finish : NULL;
        const int64_t depth = (int64_t)t.taps * s->depth;
        const float *next = t.finish ? weights + s->panel_stride * whole : t.weights + depth * width;
        look_ahead(&t, tiles, p.vectors, next);
        for (int m = begin, n; m < end; m += n) {
            n = rows_of_next(p.vectors, end - m);
            if (flat)
                find_flat_rows(flat + (m - begin) * ld_flat, ld_flat, n, s->depth, tap, t.taps, rows);
            else
                find_rows(s, x, m, n, tap, t.taps, rows);
            t.y = s->y + m * s->ld_y + channel;
            t.residual = s->residual ? s->residual + m * s->ld_residual + channel : NULL;
            run_tile(n, p.vectors, &t);
            if (tiles > 1)
                t.ahead += depth * t.advance;
        }
    }
}

/* Some pixels' channels, each kept between its bounds. */
static void clip_rows(const struct convolution *s, int begin, int end, float *out) {
    for (int m = begin; m < end; m++, out += s->channels)
        for (int c = 0; c < s->channels; c += LANES) {
            const int n = at_most_lanes(s->channels - c);
            const vec low = load_some(s->low + c, n), high = load_some(s->high + c, n);
            store_some(out + c, clamped(load_some(s->x + m * s->ld_x + c, n), low, high), n);
        }
}

/* A unit is a block of pixels of some panels of one group; blocks of pixels change fastest. */
static void convolution(const void *arguments, int unit, float *scratch) {
    const struct convolution *s = arguments;
    const int pixels = s->batch * s->out_height * s->out_width;
    const int blocks = (pixels + s->block_pixels - 1) / s->block_pixels;
    const int shares = (s->panel_count + s->block_panels - 1) / s->block_panels;
    const int group = unit / (blocks * shares), share = unit / blocks % shares;
    const int begin = unit % blocks * s->block_pixels;
    const int end = begin + s->block_pixels < pixels ? begin + s->block_pixels : pixels;
    const float *flat = s->flat ? s->x + (int64_t)group * s->channels + begin * s->ld_x : NULL;
    int64_t ld_flat = s->ld_x;
    if (s->low) {
        clip_rows(s, begin, end, scratch);
        flat = scratch;
        ld_flat = s->channels;
    }
    for (int p = share * s->block_panels; p < (share + 1) * s->block_panels && p < s->panel_count; p++)
        convolve_panel(s, group, s->panels[p], begin, end, flat, ld_flat);
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

/* A unit is a row of output pixels. */
static void depthwise(const void *arguments, int unit, float *scratch) {
    const struct depthwise *s = arguments;
    (void)scratch;
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
