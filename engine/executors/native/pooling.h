/* Pools over sliding windows, and the mean over whole images. */

/* The part of a window along one dim that lies in the input: its first step and how many there are. */
struct range {
    int first, count;
};

INLINE struct range steps_inside(int start, int kernel, int dilation, int size) {
    const int first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    const int last = size - 1 - start < 0 ? -1 : (size - 1 - start) / dilation;
    const int end = last + 1 < kernel ? last + 1 : kernel;
    return (struct range){first, end > first ? end - first : 0};
}

/* One vector of channels of one output pixel: the largest value or the sum of the window. */
INLINE vec pooled(const struct pool *s, const float *x, struct range ys, struct range xs, int n, int largest) {
    vec v = largest ? splat(-INFINITY) : zero();
    for (int i = 0; i < ys.count; i++, x += (int64_t)s->dilation_y * s->width * s->ld_x) {
        const float *p = x;
        for (int k = 0; k < xs.count; k++, p += s->dilation_x * s->ld_x)
            v = largest ? larger(v, load_some(p, n)) : add(v, load_some(p, n));
    }
    return v;
}

INLINE void pool_row(const struct pool *s, int unit, int largest) {
    const int image = unit / s->out_height, y = unit % s->out_height * s->stride_y - s->top;
    const struct range ys = steps_inside(y, s->kernel_y, s->dilation_y, s->height);
    float *out = s->y + (int64_t)unit * s->out_width * s->ld_y;
    for (int column = 0; column < s->out_width; column++, out += s->ld_y) {
        const int x = column * s->stride_x - s->left;
        const struct range xs = steps_inside(x, s->kernel_x, s->dilation_x, s->width);
        const int64_t row = (int64_t)image * s->height + y + ys.first * s->dilation_y;
        const float *corner = s->x + (row * s->width + x + xs.first * s->dilation_x) * s->ld_x;
        const vec share = splat(1.0f / (float)(s->divisor ? s->divisor : ys.count * xs.count));
        for (int c = 0; c < s->channels; c += LANES) {
            const int n = s->channels - c;
            const vec v = pooled(s, corner + c, ys, xs, n, largest);
            store_some(out + c, largest ? v : mul(v, share), n);
        }
    }
}

/* A unit is a row of output pixels. */
static void max_pool(const void *arguments, int unit, float *scratch) {
    (void)scratch;
    pool_row(arguments, unit, 1);
}

static void average_pool(const void *arguments, int unit, float *scratch) {
    (void)scratch;
    pool_row(arguments, unit, 0);
}

/* A unit is an image. */
static void mean(const void *arguments, int unit, float *scratch) {
    const struct mean *s = arguments;
    const float *image = s->x + (int64_t)unit * s->pixels * s->ld_x;
    const vec share = splat(1.0f / (float)s->pixels);
    (void)scratch;
    for (int c = 0; c < s->channels; c += LANES) {
        const int n = s->channels - c;
        vec even = zero(), odd = zero();
        int p = 0;
        for (; p + 1 < s->pixels; p += 2) {
            even = add(even, load_some(image + p * s->ld_x + c, n));
            odd = add(odd, load_some(image + (p + 1) * s->ld_x + c, n));
        }
        if (p < s->pixels)
            even = add(even, load_some(image + p * s->ld_x + c, n));
        store_some(s->y + unit * s->ld_y + c, mul(add(even, odd), share), n);
    }
}
