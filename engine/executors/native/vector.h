/* One width of vectors under one set of names. The including file defines WIDTH as 512, 256 or 128 bits.
 *
 * at_least() and at_most() keep a NaN of their first operand, larger() one of either, as numpy.maximum does.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

#if WIDTH == 512
#include <immintrin.h>
enum { LANES = 16, MAX_ROWS = 14, MAX_VECTORS = 4 };
typedef __m512 vec;
typedef __mmask16 mask;
INLINE mask first(int n) { return n >= LANES ? 0xffff : (mask)((1u << n) - 1); }
INLINE vec splat(float f) { return _mm512_set1_ps(f); }
INLINE vec zero(void) { return _mm512_setzero_ps(); }
INLINE vec load(const float *p) { return _mm512_loadu_ps(p); }
INLINE void store(float *p, vec v) { _mm512_storeu_ps(p, v); }
INLINE vec load_first(const float *p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
INLINE void store_first(float *p, vec v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }
INLINE vec add(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec divide(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec madd(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec nmadd(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); }
INLINE vec at_least(vec v, vec low) { return _mm512_max_ps(low, v); }
INLINE vec at_most(vec v, vec high) { return _mm512_min_ps(high, v); }
INLINE vec square_root(vec v) { return _mm512_sqrt_ps(v); }
INLINE mask is_nan(vec v) { return _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q); }
INLINE mask is_less(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
INLINE vec pick(mask m, vec yes, vec no) { return _mm512_mask_blend_ps(m, no, yes); }
INLINE vec absolute(vec v) { return _mm512_abs_ps(v); }
INLINE vec with_sign(vec v, vec sign) {
    const __m512i bit = _mm512_set1_epi32((int)0x80000000);
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(bit, _mm512_castps_si512(sign), _mm512_castps_si512(v), 0xca));
}
INLINE vec rounded(vec v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec times_two_to(vec v, vec n) { return _mm512_scalef_ps(v, n); }
INLINE float total(vec v) { return _mm512_reduce_add_ps(v); }

#elif WIDTH == 256
#include <immintrin.h>
enum { LANES = 8, MAX_ROWS = 8, MAX_VECTORS = 3 };
typedef __m256 vec;
typedef __m256 mask;
static const int32_t FIRST[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
INLINE __m256i first(int n) { return _mm256_loadu_si256((const __m256i *)(FIRST + 8 - (n > 8 ? 8 : n))); }
INLINE vec splat(float f) { return _mm256_set1_ps(f); }
INLINE vec zero(void) { return _mm256_setzero_ps(); }
INLINE vec load(const float *p) { return _mm256_loadu_ps(p); }
INLINE void store(float *p, vec v) { _mm256_storeu_ps(p, v); }
INLINE vec load_first(const float *p, int n) { return _mm256_maskload_ps(p, first(n)); }
INLINE void store_first(float *p, vec v, int n) { _mm256_maskstore_ps(p, first(n), v); }
INLINE vec add(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec sub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec mul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec divide(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec madd(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec nmadd(vec a, vec b, vec c) { return _mm256_fnmadd_ps(a, b, c); }
INLINE vec at_least(vec v, vec low) { return _mm256_max_ps(low, v); }
INLINE vec at_most(vec v, vec high) { return _mm256_min_ps(high, v); }
INLINE vec square_root(vec v) { return _mm256_sqrt_ps(v); }
INLINE mask is_nan(vec v) { return _mm256_cmp_ps(v, v, _CMP_UNORD_Q); }
INLINE mask is_less(vec a, vec b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
INLINE vec pick(mask m, vec yes, vec no) { return _mm256_blendv_ps(no, yes, m); }
INLINE vec absolute(vec v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
INLINE vec with_sign(vec v, vec sign) { return _mm256_or_ps(absolute(v), _mm256_and_ps(_mm256_set1_ps(-0.0f), sign)); }
INLINE vec rounded(vec v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}
INLINE vec times_two_to(vec v, vec n) { /* in two halves, so that denormal results come out right */
    const __m256i all = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(all, 1);
    return mul(mul(v, power_of_two(half)), power_of_two(_mm256_sub_epi32(all, half)));
}
INLINE float total(vec v) {
    float f[8];
    store(f, v);
    return ((f[0] + f[4]) + (f[1] + f[5])) + ((f[2] + f[6]) + (f[3] + f[7]));
}

#else
enum { LANES = 4, MAX_ROWS = 8, MAX_VECTORS = 3 };
typedef float vec __attribute__((vector_size(16)));
typedef int32_t mask __attribute__((vector_size(16)));
INLINE vec splat(float f) { return (vec){f, f, f, f}; }
INLINE vec zero(void) { return splat(0); }
INLINE vec load(const float *p) { vec v; memcpy(&v, p, sizeof v); return v; }
INLINE void store(float *p, vec v) { memcpy(p, &v, sizeof v); }
INLINE vec load_first(const float *p, int n) {
    vec v = zero();
    memcpy(&v, p, sizeof(float) * (size_t)(n > LANES ? LANES : n));
    return v;
}
INLINE void store_first(float *p, vec v, int n) { memcpy(p, &v, sizeof(float) * (size_t)(n > LANES ? LANES : n)); }
INLINE vec add(vec a, vec b) { return a + b; }
INLINE vec sub(vec a, vec b) { return a - b; }
INLINE vec mul(vec a, vec b) { return a * b; }
INLINE vec divide(vec a, vec b) { return a / b; }
INLINE vec madd(vec a, vec b, vec c) { return a * b + c; }
INLINE vec nmadd(vec a, vec b, vec c) { return c - a * b; }
INLINE mask is_nan(vec v) { return v != v; }
INLINE mask is_less(vec a, vec b) { return a < b; }
INLINE vec pick(mask m, vec yes, vec no) { return (vec)((m & (mask)yes) | (~m & (mask)no)); }
INLINE vec at_least(vec v, vec low) { return pick(v < low, low, v); }
INLINE vec at_most(vec v, vec high) { return pick(v > high, high, v); }
INLINE vec absolute(vec v) { return (vec)((mask)v & 0x7fffffff); }
INLINE vec with_sign(vec v, vec sign) { return (vec)(((mask)v & 0x7fffffff) | ((mask)sign & ~0x7fffffff)); }
#define EACH(expression) vec r; for (int i = 0; i < LANES; i++) r[i] = (expression); return r
INLINE vec square_root(vec v) { EACH(sqrtf(v[i])); }
INLINE vec rounded(vec v) { EACH(rintf(v[i])); }
INLINE vec times_two_to(vec v, vec n) { EACH(ldexpf(v[i], (int)n[i])); }
#undef EACH
INLINE float total(vec v) { return (v[0] + v[2]) + (v[1] + v[3]); }
#endif

INLINE vec larger(vec a, vec b) { return pick(is_nan(a), a, at_least(b, a)); }
INLINE vec smaller(vec a, vec b) { return pick(is_nan(a), a, at_most(b, a)); }
INLINE int at_most_lanes(int n) { return n < LANES ? n : LANES; }
INLINE vec load_some(const float *p, int n) { return n >= LANES ? load(p) : load_first(p, n); }
INLINE void store_some(float *p, vec v, int n) {
    if (n >= LANES)
        store(p, v);
    else
        store_first(p, v, n);
}
