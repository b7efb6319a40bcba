/* Recurrent layers, one time of one layer: the product with the states before and, while its sums are near, the gates.
 *
 * A panel is one vector of states with all their gates; its weights are [state before][gate][lane].
 */
enum { MAX_GATES = 4, STATE_ROWS = WIDTH == 512 ? 4 : 2, SUMS_AT_WORK = 8 };

/* The states of some rows times a panel's weights. So few sums as one row has would wait for each other: the states are
 * then taken in several streams. */
INLINE void multiply_states(const struct recurrent *s, int rows, int gates, int row, int panel,
                            vec out[STATE_ROWS][MAX_GATES]) {
    const int streams = rows * gates >= SUMS_AT_WORK ? 1 : rows * gates * 2 >= SUMS_AT_WORK ? 2 : 4;
    const int part = s->size / streams, width = gates * LANES;
    const float *w = s->weights + (int64_t)panel * s->size * width, *h = s->h + row * s->ld_h;
    vec sum[4][STATE_ROWS][MAX_GATES];
    UNROLL for (int i = 0; i < streams; i++)
        UNROLL for (int m = 0; m < rows; m++)
            UNROLL for (int j = 0; j < gates; j++) sum[i][m][j] = zero();
    for (int k = 0; k < part; k++)
        UNROLL for (int i = 0; i < streams; i++) {
            const float *line = w + ((int64_t)i * part + k) * width;
            vec b[MAX_GATES];
            UNROLL for (int j = 0; j < width; j += LINE_FLOATS) __builtin_prefetch(line + NEAR_FLOATS + j, 0, 2);
            UNROLL for (int j = 0; j < gates; j++) b[j] = load(line + j * LANES);
            UNROLL for (int m = 0; m < rows; m++) {
                const vec x = splat(h[m * s->ld_h + i * part + k]);
                UNROLL for (int j = 0; j < gates; j++) sum[i][m][j] = madd(x, b[j], sum[i][m][j]);
            }
        }
    for (int k = streams * part; k < s->size; k++)
        UNROLL for (int m = 0; m < rows; m++)
            UNROLL for (int j = 0; j < gates; j++)
                sum[0][m][j] = madd(splat(h[m * s->ld_h + k]), load(w + (int64_t)k * width + j * LANES), sum[0][m][j]);
    UNROLL for (int m = 0; m < rows; m++)
        UNROLL for (int j = 0; j < gates; j++) {
            UNROLL for (int i = 1; i < streams; i++) sum[0][m][j] = add(sum[0][m][j], sum[i][m][j]);
            out[m][j] = sum[0][m][j];
        }
}

/* The sums over the inputs of one gate of a row's states [at, at + n). */
INLINE vec of_input(const struct recurrent *s, int row, int gate, int at, int n) {
    return load_some(s->gates + row * s->ld_gates + gate * s->size + at, n);
}

INLINE void put_state(const struct recurrent *s, int row, int at, int n, vec h) {
    store_some(s->y + row * s->ld_y + at, h, n);
    if (s->last_h)
        store_some(s->last_h + row * s->ld_last_h + at, h, n);
}

/* Gates i, f, g, o; the cell's state stays in last_c from one time to the next. */
INLINE void lstm_row(const struct recurrent *s, int row, int at, int n, const vec sum[MAX_GATES]) {
    const vec i = logistic(add(sum[0], of_input(s, row, 0, at, n))), f = logistic(add(sum[1], of_input(s, row, 1, at, n)));
    const vec g = hyperbolic_tangent(add(sum[2], of_input(s, row, 2, at, n)));
    const vec o = logistic(add(sum[3], of_input(s, row, 3, at, n)));
    const vec c = madd(f, load_some(s->c + row * s->ld_c + at, n), mul(i, g));
    store_some(s->last_c + row * s->ld_last_c + at, c, n);
    put_state(s, row, at, n, mul(o, hyperbolic_tangent(c)));
}

/* Gates r, z, n; the bias of n's sum over the states is added here, as r multiplies both. */
INLINE void gru_row(const struct recurrent *s, int row, int at, int n, const vec sum[MAX_GATES]) {
    const vec r = logistic(add(sum[0], of_input(s, row, 0, at, n))), z = logistic(add(sum[1], of_input(s, row, 1, at, n)));
    const vec of_states = s->bias ? add(sum[2], load_some(s->bias + at, n)) : sum[2];
    const vec new = hyperbolic_tangent(madd(r, of_states, of_input(s, row, 2, at, n)));
    put_state(s, row, at, n, madd(z, sub(load_some(s->h + row * s->ld_h + at, n), new), new));
}

INLINE void rnn_row(const struct recurrent *s, int row, int at, int n, const vec sum[MAX_GATES]) {
    put_state(s, row, at, n, activated(add(sum[0], of_input(s, row, 0, at, n)), &s->finish));
}

/* Some rows of a panel. The sums go through memory so that the gates' code is there once, not once a row. */
#define ROWS(cell, gates, rows) \
    static __attribute__((noinline)) void cell##_##rows(const struct recurrent *s, int row, int panel) { \
        vec sum[STATE_ROWS][MAX_GATES]; \
        multiply_states(s, rows, gates, row, panel, sum); \
        const int at = panel * LANES, n = at_most_lanes(s->size - at); \
        for (int m = 0; m < rows; m++) cell##_row(s, row + m, at, n, sum[m]); \
    }
#if WIDTH == 512
#define CELL(cell, gates) ROWS(cell, gates, 1) ROWS(cell, gates, 2) ROWS(cell, gates, 4) UNIT(cell, cell##_4)
#else
#define CELL(cell, gates) ROWS(cell, gates, 1) ROWS(cell, gates, 2) UNIT(cell, cell##_2)
#endif

/* A unit is some panels for all rows. To and fro, the weights that were read last are those that are near at the next time. */
#define UNIT(cell, most_rows) \
    static void cell(const void *arguments, int unit, float *scratch) { \
        const struct recurrent *s = arguments; \
        const int panels = (s->size + LANES - 1) / LANES, first = unit * s->block_panels; \
        const int end = first + s->block_panels < panels ? first + s->block_panels : panels; \
        (void)scratch; \
        for (int i = first; i < end; i++) { \
            const int panel = s->backwards ? panels - 1 - i : i; \
            int row = 0; \
            for (; row + STATE_ROWS <= s->batch; row += STATE_ROWS) most_rows(s, row, panel); \
            for (; row + 2 <= s->batch; row += 2) cell##_2(s, row, panel); \
            for (; row < s->batch; row++) cell##_1(s, row, panel); \
        } \
    }

CELL(lstm, 4)
CELL(gru, 3)
CELL(rnn, 1)
#undef CELL
#undef UNIT
#undef ROWS
