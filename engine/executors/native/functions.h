/* Functions of vectors, to the accuracy of float, and the activations made of them. */

/* The polynomials are fits of ours: least squares of the error relative to the function, reweighted to even it out. */

/* exp by 2^n * P(r), |r| <= ln(2) / 2; ln 2 is taken away in two parts so that r is exact. NaN stays NaN. */
INLINE vec exponential(vec x) {
    x = at_most(at_least(x, splat(-104.0f)), splat(89.0f));
    const vec n = rounded(mul(x, splat(1.44269504f)));
    const vec r = nmadd(n, splat(-2.12194440e-4f), nmadd(n, splat(0.693359375f), x));
    vec p = splat(1.97903572e-4f);
    p = madd(p, r, splat(1.39446493e-3f));
    p = madd(p, r, splat(8.33349700e-3f));
    p = madd(p, r, splat(4.16662951e-2f));
    p = madd(p, r, splat(1.66666659e-1f));
    p = madd(p, r, splat(5.00000007e-1f));
    return times_two_to(add(madd(mul(p, r), r, r), splat(1.0f)), n);
}

INLINE vec logistic(vec x) { return divide(splat(1.0f), add(splat(1.0f), exponential(sub(zero(), x)))); }

/* tanh: an odd polynomial near 0, where 1 - 2 / (e^2x + 1) would lose digits. */
INLINE vec hyperbolic_tangent(vec x) {
    const vec a = absolute(x), square = mul(x, x);
    vec p = splat(-5.71704e-3f);
    p = madd(p, square, splat(2.065058e-2f));
    p = madd(p, square, splat(-5.37435e-2f));
    p = madd(p, square, splat(1.3331491e-1f));
    p = madd(p, square, splat(-3.3333284e-1f));
    const vec near_zero = madd(mul(p, square), x, x);
    const vec far = sub(splat(1.0f), divide(splat(2.0f), add(exponential(add(a, a)), splat(1.0f))));
    return pick(is_less(a, splat(0.625f)), near_zero, with_sign(far, x));
}

/* erf: x + x * P(x^2) near 0, beyond 1 - exp(|x| * Q(|x|) - |x|); the latter is 1 in float from 3.95 on. */
INLINE vec error_function(vec x) {
    const vec a = absolute(x), square = mul(x, x), b = at_most(a, splat(3.95f));
    vec p = splat(-5.9994e-4f);
    p = madd(p, square, splat(4.99532e-3f));
    p = madd(p, square, splat(-2.676846e-2f));
    p = madd(p, square, splat(1.128188e-1f));
    p = madd(p, square, splat(-3.7612501e-1f));
    p = madd(p, square, splat(1.2837915e-1f));
    vec q = splat(-1.13368641e-5f);
    q = madd(q, b, splat(3.23791720e-4f));
    q = madd(q, b, splat(-3.64617651e-3f));
    q = madd(q, b, splat(2.37692551e-2f));
    q = madd(q, b, splat(-1.06244413e-1f));
    q = madd(q, b, splat(-6.35147268e-1f));
    q = madd(q, b, splat(-1.28649359e-1f));
    const vec far = sub(splat(1.0f), exponential(madd(q, b, sub(zero(), b))));
    return pick(is_less(a, splat(0.92f)), madd(p, x, x), with_sign(far, x));
}

INLINE vec hard_sigmoid(vec x) {
    const vec shifted = at_most(at_least(add(x, splat(3.0f)), zero()), splat(6.0f));
    return mul(shifted, splat(1.0f / 6.0f));
}

INLINE vec normal_share(vec x) {
    return madd(error_function(mul(x, splat(0.70710678f))), splat(0.5f), splat(0.5f));
}

INLINE vec normal_share_by_tanh(vec x) {
    const vec cubic = madd(mul(mul(x, x), x), splat(0.044715f), x);
    return madd(hyperbolic_tangent(mul(cubic, splat(0.79788456f))), splat(0.5f), splat(0.5f));
}

static vec activated(vec v, const struct finish *f) {
    switch (f->activation) {
    case CLAMP: return at_most(at_least(v, splat(f->low)), splat(f->high));
    case SIGMOID: return logistic(v);
    case TANH: return hyperbolic_tangent(v);
    case SILU: return mul(v, logistic(v));
    case GELU: return mul(v, normal_share(v));
    case GELU_TANH: return mul(v, normal_share_by_tanh(v));
    case HARDSWISH: return mul(v, hard_sigmoid(v));
    case HARDSIGMOID: return hard_sigmoid(v);
    case LEAKY_RELU: return pick(is_less(zero(), v), v, mul(v, splat(f->low)));
    case EXP: return exponential(v);
    case ERF: return error_function(v);
    case SQRT: return square_root(v);
    case RSQRT: return divide(splat(1.0f), square_root(v));
    case RECIPROCAL: return divide(splat(1.0f), v);
    case NEGATE: return sub(zero(), v);
    case ABSOLUTE: return absolute(v);
    case SQUARE: return mul(v, v);
    default: return v;
    }
}

INLINE vec clamped(vec v, vec low, vec high) { return at_most(at_least(v, low), high); }

/* Whether a CLAMP of infinite bounds or narrower says all there is to say, which registers can do on the way out. */
INLINE int is_clamp(const struct finish *f) { return f->activation <= CLAMP; }
